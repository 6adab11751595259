// Texts: places in a text by code points, as the API counts them, and a text with gaps.

const GAPS = /\[\[fill(?::(\d+))?\]\]/g;

/** Return the number of code points in front of a place that JavaScript counts in UTF-16. */
export function pointsTo(text, place) {
  let count = 0;
  for (const letter of text.slice(0, place)) count += letter.length ? 1 : 0;
  return count;
}

/** Return the segments of a text with [[fill]] or [[fill:n]] where gaps are. */
export function segmentsOf(text) {
  const found = [];
  let from = 0;
  for (const gap of text.matchAll(GAPS)) {
    found.push(text.slice(from, gap.index), gap[1] ? { infill_tokens: Number(gap[1]) } : {});
    from = gap.index + gap[0].length;
  }
  return [...found, text.slice(from)].filter((part) => part !== "");
}

/**
 * Return the parts of a text that was revised: {text} between edits, and the edits, each with its `index`.
 * Edits count in code points of the original.
 */
export function editedParts(text, edits) {
  const letters = [...text];
  const found = [];
  let from = 0;
  edits.forEach((edit, index) => {
    if (edit.start > from) found.push({ text: letters.slice(from, edit.start).join("") });
    found.push({ ...edit, index });
    from = edit.end;
  });
  if (from < letters.length) found.push({ text: letters.slice(from).join("") });
  return found;
}

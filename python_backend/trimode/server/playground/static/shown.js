// Shown: an answer as it stands: final text, what is not final in its colour and shape, and the block as a strip.
import { Component } from "./vendor/htm-preact.js";
import { html } from "./ui.js";

const LEAST_CHARACTERS = 1500;

/** Return a text in parts that end with a line, so that what was drawn before stays as it is. */
export function parts(text) {
  const found = [];
  let from = 0;
  for (;;) {
    const end = text.indexOf("\n", from + LEAST_CHARACTERS);
    if (end < 0) break;
    found.push(text.slice(from, end + 1));
    from = end + 1;
  }
  return [found, text.slice(from)];
}

class Part extends Component {
  shouldComponentUpdate({ text }) {
    return text !== this.props.text;
  }

  render({ text }) {
    return html`<div class="part" dir="auto">${text}</div>`;
  }
}

/** The final text, and the tail that may still change. The tail is not for screen readers. */
export function Shown({ text, tail = [], waiting = false }) {
  const [whole, last] = parts(text);
  return html`<div class="shown" dir="auto">
    ${whole.map((part, index) => html`<${Part} key=${index} text=${part} />`)}<span>${last}</span>${
      tail.length > 0 && html`<span class="tail" aria-hidden="true">${tail.map((place, index) => html`<span key=${index} class=${`token ${place.kind}`}>${place.text}</span>`)}</span>`
    }${waiting && html`<span class="waiting" aria-hidden="true"></span>`}
  </div>`;
}

const WORDS = { masked: "masked", new: "just revealed", provisional: "provisional", committed: "committed", fixed: "committed", accepted: "accepted", refused: "refused" };

/** Return in words how many places of a block are what. */
export function counted(places) {
  const counts = new Map();
  for (const { kind } of places) counts.set(WORDS[kind], (counts.get(WORDS[kind]) ?? 0) + 1);
  return [...counts].map(([word, count]) => `${count} ${word}`).join(", ");
}

/** A block as a row of cells, one for each place. */
export function Strip({ step }) {
  if (!step) return null;
  const what = step.kind === "verify" ? `verified: ${step.kept} of ${step.drafted} drafted tokens kept` : `pass ${step.pass}: ${counted(step.places)}`;
  return html`<div class="strip">
    <div class="cells" role="img" aria-label=${`Block at token ${step.start}, ${what}`}>
      ${step.places.map((place, index) => html`<i key=${index} class=${`cell ${place.kind}`}></i>`)}
    </div>
    <span class="small" aria-hidden="true">block at ${step.start}, ${what}</span>
  </div>`;
}

/** What the colours and shapes mean. */
export function Legend({ draft = false }) {
  const kinds = ["masked", "new", "provisional", "committed", ...(draft ? ["accepted", "refused"] : [])];
  return html`<ul class="legend" aria-label="What the colours and shapes mean">
    ${kinds.map((kind) => html`<li><i class=${`cell ${kind}`}></i> ${WORDS[kind]}</li>`)}
  </ul>`;
}

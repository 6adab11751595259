// Long texts that are pasted: Chromium puts them into a field line by line, for half a minute where there are thousands.
// Here they are put in at once. Such a paste cannot be undone with Ctrl+Z; shorter ones are left to the browser.

const LONG_CHARACTERS = 10_000;

/** Take over the pasting of long texts into fields of several lines. */
export function takeLongPastes() {
  addEventListener("paste", (event) => {
    const field = event.target;
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (!(field instanceof HTMLTextAreaElement) || text.length < LONG_CHARACTERS) return;
    event.preventDefault();
    field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  });
}

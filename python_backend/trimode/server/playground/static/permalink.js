// Permalinks: a view and what is written in it, behind the # of the page's address. No key and no answer is in one.

const VIEWS = ["chat", "compare", "fill", "revise", "steps"];

function encode(value) {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  let text = "";
  for (let from = 0; from < bytes.length; from += 8192) text += String.fromCharCode(...bytes.subarray(from, from + 8192));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function decode(text) {
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

/** Return the address of the page with a view and its state. */
export function permalink(view, state) {
  return new URL(`#${view}/${encode(state)}`, document.baseURI).href;
}

/** Return {view, state, example} of the page's address; the state is null where there is none, or none that can be read. */
export function place(hash = location.hash) {
  const [view, text] = hash.slice(1).split("/");
  if (view === "example") return { view: "chat", state: null, example: true };
  let state = null;
  try {
    if (text) state = decode(text);
  } catch {
    // an address that was cut off on its way opens its view, empty
  }
  const found = state && typeof state === "object" && !Array.isArray(state) ? state : null;
  return { view: VIEWS.includes(view) ? view : "chat", state: found, example: false };
}

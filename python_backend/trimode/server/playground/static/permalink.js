// Permalinks: a view and what is written in it, behind the # of the page's address. No key and no answer is in one.
import { PACES } from "./player.js";
import { server, several } from "./server.js";

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

/** Return the address of the page with a view and its state, and the model where there is a choice. */
export function permalink(view, state) {
  const model = several() ? { model: server.value.name } : {};
  return new URL(`#${view}/${encode({ ...state, ...model })}`, document.baseURI).href;
}

/** Return {view, state, example, model} of the page's address; state is null where there is none that can be read, model "" where none is named. */
export function place(hash = location.hash) {
  const [view, coded] = hash.slice(1).split("/");
  if (view === "example") return { view: "chat", state: null, example: true, model: "" };
  let state = null;
  try {
    if (coded) state = decode(coded);
  } catch {
    // an address that was cut off on its way opens its view, empty
  }
  const found = state && typeof state === "object" && !Array.isArray(state) ? state : null;
  return { view: VIEWS.includes(view) ? view : "chat", state: found, example: false, model: text(found?.model) ?? "" };
}

const isText = (value) => typeof value === "string";
const isRecord = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isSpan = (value) => Array.isArray(value) && value.length === 2 && value.every((one) => Number.isInteger(one) && one >= 0) && value[0] < value[1];
const isMessage = (value) => isRecord(value) && ["system", "user", "assistant"].includes(value.role) && isText(value.content);
const isCount = (value) => Number.isInteger(value) && value > 0;
const text = (value) => (isText(value) ? value : undefined);

/** What each part of a state becomes in the form that a view takes; undefined where it has another form. */
const READERS = {
  form: (value) => (isRecord(value) && isText(value.type) && isText(value.guide) ? { type: value.type, guide: value.guide } : undefined),
  instruction: text,
  knobs: (value) => (isRecord(value) ? Object.fromEntries(Object.entries(value).filter(([, written]) => isText(written))) : undefined),
  messages: (value) => (Array.isArray(value) ? value.filter(isMessage).map(({ role, content, missing }) => ({ role, content, ...(isCount(missing) ? { missing } : {}) })) : undefined),
  mode: (value) => (server.value.modes.includes(value) ? value : undefined),
  pace: (value) => (["number", "string"].includes(typeof value) && Object.hasOwn(PACES, value) ? Number(value) : undefined),
  prompt: text,
  spans: (value) => (Array.isArray(value) ? value.filter(isSpan) : undefined),
  text,
  written: text,
};

/** Return the parts `names` of a permalink's state that have the form a view takes; anybody may have written the rest. */
export function fromLink(state, names) {
  const read = names.filter((name) => state && Object.hasOwn(state, name)).map((name) => [name, READERS[name](state[name])]);
  return Object.fromEntries(read.filter(([, value]) => value !== undefined));
}

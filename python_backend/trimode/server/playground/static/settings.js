// Settings: the key, which stays in memory, the model that is asked, and light or dark.
import { useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { hasKey, setKey } from "./api.js";
import { choose, server, several } from "./server.js";
import { useStore } from "./store.js";
import { html } from "./ui.js";

const THEME = "trimode.playground.theme";
const THEMES = ["system", "light", "dark"];
const MODEL = "trimode.playground.model";

function stored(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // a browser that keeps nothing
  }
}

function store(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // it holds until the page is closed
  }
}

/** Return the name of the model that was chosen last in this browser; another server may have been asked then. */
export function lastModel() {
  return stored(MODEL) ?? "";
}

/** The model that is asked; a choice where there are several. */
export function Model() {
  const { models, name, capacity } = useStore(server);
  const limit = `up to ${capacity} tokens`;
  if (!several()) return html`<span class="served" title=${limit}>${name}</span>`;
  const take = ({ currentTarget: { value } }) => {
    choose(value);
    store(MODEL, value);
  };
  return html`<div class="models"><label for="model">Model</label>
    <select id="model" value=${name} title=${limit} onChange=${take}>${models.map((one) => html`<option key=${one.model} value=${one.name}>${one.name}</option>`)}</select></div>`;
}

function useTheme() {
  const [theme, setTheme] = useState(THEMES.includes(stored(THEME)) ? stored(THEME) : "system");
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    store(THEME, theme);
  }, [theme]);
  return [theme, setTheme];
}

export function Theme() {
  const [theme, setTheme] = useTheme();
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  return html`<button type="button" class="quiet" onClick=${() => setTheme(next)} title=${`Change to ${next}`} aria-label=${`Colours: ${theme}. Change to ${next}`}>
    ${{ system: "◐", light: "☀", dark: "☾" }[theme]}
  </button>`;
}

/** Asks for a key where the server wants one, and calls `entered`. It is kept in memory alone. */
export function Key({ entered }) {
  const { state } = useStore(server);
  const field = useRef(null);
  useEffect(() => state === "locked" && field.current?.focus(), [state]);
  if (state !== "locked") return null;
  const enter = (event) => {
    event.preventDefault();
    setKey(field.current.value);
    entered();
  };
  return html`<form class="card key" onSubmit=${enter}>
    <label for="key"><strong>This server needs an API key.</strong></label>
    <div class="row"><input id="key" ref=${field} type="password" autocomplete="off" spellcheck="false" aria-describedby="key-help" /><button class="main">Use it</button></div>
    <p class="small" id="key-help">${hasKey() && html`<strong class="problem">The server does not know that key.</strong> `}The page keeps it in memory until it is closed, and sends it to this server alone.</p>
  </form>`;
}

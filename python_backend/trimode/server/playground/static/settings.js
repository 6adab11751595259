// Settings: the key, which stays in memory, and light or dark.
import { useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { hasKey, setKey } from "./api.js";
import { load, server } from "./server.js";
import { useStore } from "./store.js";
import { html } from "./ui.js";

const THEME = "trimode.playground.theme";
const THEMES = ["system", "light", "dark"];

function stored() {
  try {
    return localStorage.getItem(THEME);
  } catch {
    return null; // a browser that keeps nothing
  }
}

function useTheme() {
  const [theme, setTheme] = useState(THEMES.includes(stored()) ? stored() : "system");
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem(THEME, theme);
    } catch {
      // it holds until the page is closed
    }
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

/** Asks for a key where the server wants one. It is kept in memory alone. */
export function Key() {
  const { state } = useStore(server);
  const field = useRef(null);
  useEffect(() => state === "locked" && field.current?.focus(), [state]);
  if (state !== "locked") return null;
  const enter = (event) => {
    event.preventDefault();
    setKey(field.current.value);
    load();
  };
  return html`<form class="card key" onSubmit=${enter}>
    <label for="key"><strong>This server needs an API key.</strong></label>
    <div class="row"><input id="key" ref=${field} type="password" autocomplete="off" spellcheck="false" aria-describedby="key-help" /><button class="main">Use it</button></div>
    <p class="small" id="key-help">${hasKey() && html`<strong class="problem">The server does not know that key.</strong> `}The page keeps it in memory until it is closed, and sends it to this server alone.</p>
  </form>`;
}

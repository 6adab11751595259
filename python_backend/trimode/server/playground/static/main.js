// The page: its head, its views, and which of them is shown.
import { Component, render, useEffect } from "./vendor/htm-preact.js";
import { takeLongPastes } from "./paste.js";
import { place } from "./permalink.js";
import { choose, load, server } from "./server.js";
import { Key, lastModel, Model, Theme } from "./settings.js";
import { useStore } from "./store.js";
import { Chat } from "./chat.js";
import { Compare } from "./compare.js";
import { Fill } from "./fill.js";
import { Revise } from "./revise.js";
import { Steps } from "./steps.js";
import { Failure, html } from "./ui.js";

const VIEWS = { chat: ["Chat", Chat], compare: ["Compare", Compare], fill: ["Fill in", Fill], revise: ["Revise", Revise], steps: ["Steps", Steps] };
const READY_AGAIN_MILLISECONDS = 2000;

const begin = () => load(place().model, lastModel());

class App extends Component {
  constructor(props) {
    super(props);
    const shown = place();
    this.state = { ...shown, seen: { [shown.view]: true } };
  }

  componentDidMount() {
    addEventListener("hashchange", this.go);
    if (this.state.example) history.replaceState(null, "", "#chat"); // asked once, not at every reload
  }

  componentWillUnmount() {
    removeEventListener("hashchange", this.go);
  }

  go = () => {
    const shown = place();
    if (shown.model) choose(shown.model); // before the views read what is in the link
    else server.set({ missing: "" });
    this.setState(({ seen }) => ({ ...shown, seen: { ...seen, [shown.view]: true } }));
    if (shown.example) history.replaceState(null, "", "#chat");
    scrollTo(0, 0);
  };

  // A view that was seen stays as it is while another one is shown.
  render(_, { view, state, example, seen }) {
    return Object.entries(VIEWS).map(
      ([name, [, View]]) => seen[name] && html`<div key=${name} hidden=${name !== view}><${View} state=${name === view ? state : null} example=${example && name === "chat"} /></div>`,
    );
  }
}

function Head({ view }) {
  const { state } = useStore(server);
  return html`<header>
    <a class="skip" href="#content" onClick=${(event) => (event.preventDefault(), document.getElementById("content").focus())}>Skip to the content</a>
    <h1><img src="icon.svg" alt="" width="28" height="28" /> TriMode <span>playground</span></h1>
    <nav aria-label="Views">${Object.entries(VIEWS).map(([id, [title]]) => html`<a href=${`#${id}`} aria-current=${id === view ? "page" : null}>${title}</a>`)}</nav>
    <div class="row">
      ${state === "ready" && html`<${Model} />`}
      <${Theme} />
    </div>
  </header>`;
}

class Page extends Component {
  constructor(props) {
    super(props);
    this.state = { view: place().view };
  }

  componentDidMount() {
    addEventListener("hashchange", () => this.setState({ view: place().view }));
  }

  render(_, { view }) {
    return html`<${Head} view=${view} /><main id="content" tabindex="-1"><${Body} /></main>`;
  }
}

function Body() {
  const { state, error, missing, name } = useStore(server);
  const starting = error?.type === "unavailable";
  useEffect(() => {
    if (!starting) return undefined;
    const timer = setTimeout(begin, READY_AGAIN_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [error]);
  if (state === "loading") return html`<p class="small" role="status">Asking the server what it serves…</p>`;
  if (state === "locked") return html`<${Key} entered=${begin} />`;
  if (state === "failed") return html`<${Failure} error=${error} again=${begin} />`;
  return html`${missing && html`<p class="notice" role="alert">This server does not have the model ${missing}. ${name} is asked in its place.</p>`}<${App} />`;
}

takeLongPastes();
render(html`<${Page} />`, document.getElementById("app"));
begin();

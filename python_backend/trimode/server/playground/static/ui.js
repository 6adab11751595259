// Small parts that every view uses: buttons, errors in words, a line of figures, and what is read out.
import { Component, html, useState } from "./vendor/htm-preact.js";
import { MODE_NAMES, onChoice, server, several } from "./server.js";

export { html };

/** A view that asks the model; its `change()` is called when another one is chosen. */
export class View extends Component {
  componentDidMount() {
    this.unwatch = onChoice(() => this.change());
  }

  componentWillUnmount() {
    this.unwatch();
  }
}

const COPIED_MILLISECONDS = 1500;

/** A button that copies what `text()` returns. */
export function Copy({ text, label = "Copy" }) {
  const [said, say] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text());
      say("Copied");
    } catch {
      say("Not allowed here: select it and press Ctrl+C");
    }
    setTimeout(() => say(""), COPIED_MILLISECONDS);
  };
  return html`<button type="button" class="quiet" onClick=${copy}><span aria-live="polite">${said || label}</span></button>`;
}

const OWN_REMEDIES = {
  unreachable: "See whether the server still runs, then ask again.",
  cut_off: "Ask again; the log of the server may say why.",
};

/** An error: what happened, and what to do. */
export function Failure({ error, again }) {
  if (!error) return null;
  const remedy = OWN_REMEDIES[error.type] ?? server.value.errors[error.type]?.remedy;
  return html`<div class="failure" role="alert">
    <p><strong>${error.message}</strong></p>
    ${remedy && html`<p>${coded(remedy)}</p>`}
    <p class="small">${error.type}${error.status ? ` (HTTP ${error.status})` : ""}</p>
    ${again && html`<button type="button" onClick=${again}>Ask again</button>`}
  </div>`;
}

/** Return a text whose parts in backticks are code. */
export function coded(text) {
  return text.split("`").map((part, index) => (index % 2 ? html`<code>${part}</code>` : part));
}

const digits = (value, most) => value.toLocaleString("en", { maximumFractionDigits: most });

/** The line under an answer: mode, model where there is a choice, tokens, passes, tokens a pass, time. */
export function Figures({ answer }) {
  const { counters } = answer;
  const parts = [
    [digits(answer.tokens, 0), answer.tokens === 1 ? "token" : "tokens"],
    [digits(answer.passes, 0), answer.passes === 1 ? "pass" : "passes"],
    [digits(answer.rate, 1), "tokens a pass"],
    [answer.seconds.toFixed(2), "s"],
  ];
  if (answer.seconds > 0 && answer.done) parts.push([digits(answer.tokens / answer.seconds, 0), "tokens/s"]);
  if (counters?.total_draft_tokens) parts.push([`${counters.total_accepted_draft_tokens} of ${counters.total_draft_tokens}`, "drafted tokens kept"]);
  return html`<p class="figures">
    <span class="mode">${MODE_NAMES[answer.mode] ?? answer.mode}</span>
    ${several() && html`<span>${answer.model}</span>`}
    ${parts.map(([figure, word]) => html`<span><b>${figure}</b> ${word}</span>`)}
    ${answer.stopped && html`<span class="note">stopped</span>`}
    ${answer.finish === "length" && html`<span class="note">cut at max_tokens</span>`}
  </p>`;
}

/** A part that opens and closes; what is inside is made once it was opened. */
export class Fold extends Component {
  constructor(props) {
    super(props);
    this.state = { open: Boolean(props.open) };
  }

  render({ title, children, note }, { open }) {
    return html`<details class="fold" open=${open} onToggle=${(event) => this.setState({ open: event.currentTarget.open })}>
      <summary>${title}${note && html` <span class="small">${note}</span>`}</summary>
      ${open && children}
    </details>`;
  }
}

/** What screen readers hear: committed text alone, a little later than it is seen. */
export class Heard extends Component {
  #said = 0;
  #timer = 0;

  constructor(props) {
    super(props);
    this.state = { parts: [] };
  }

  componentDidUpdate({ answer }) {
    if (answer !== this.props.answer) {
      this.#said = 0;
      this.setState({ parts: [] });
    }
    if (!this.#timer && this.props.answer && this.props.answer.text.length > this.#said) {
      this.#timer = setTimeout(() => this.#say(), HEARD_MILLISECONDS);
    }
  }

  componentWillUnmount() {
    clearTimeout(this.#timer);
  }

  #say() {
    this.#timer = 0;
    const text = this.props.answer?.text ?? ""; // another chat may have been opened meanwhile
    if (text.length <= this.#said) return;
    const part = text.slice(this.#said);
    this.#said = text.length;
    this.setState(({ parts }) => ({ parts: [...parts, part] }));
  }

  render(_, { parts }) {
    return html`<div class="unseen" role="log" aria-live="polite" aria-label="Answer">${parts.map((part, index) => html`<span key=${index}>${part}</span>`)}</div>`;
  }
}

const HEARD_MILLISECONDS = 1000;

/** A set of choices of which one is taken, as buttons in a row. */
export function Choice({ label, name, options, value, onChange }) {
  return html`<fieldset class="choice">
    <legend>${label}</legend>
    ${options.map(
      ({ id, text, help, off }) => html`<label class=${`${id === value ? "on" : ""} ${off ? "off" : ""}`} title=${help}>
        <input type="radio" name=${name} value=${id} checked=${id === value} disabled=${off} onChange=${() => onChange(id)} />${text}
      </label>`,
    )}
  </fieldset>`;
}

// Revise: a text, the parts of it to reconsider, and each edit to be kept or undone.
import { generate } from "./api.js";
import { Code } from "./code.js";
import { wrong } from "./examples.js";
import { Knobs } from "./knobs.js";
import { fromLink, permalink } from "./permalink.js";
import { given } from "./request.js";
import { denoiser, denoises, server } from "./server.js";
import { editedParts, pointsTo } from "./texts.js";
import { Copy, Failure, html, View } from "./ui.js";

const LINKED = ["text", "instruction", "spans", "knobs"];
const SHOWN_CHARACTERS = 40;

function Edit({ edit, kept, toggle }) {
  return html`<span class=${`edit ${kept ? "kept" : "undone"}`}>
    ${kept ? html`<del>${edit.before}</del><ins>${edit.after}</ins>` : html`<span>${edit.before}</span>`}
    <button type="button" class="quiet" aria-label=${kept ? `Undo: ${edit.after} back to ${edit.before}` : `Keep: ${edit.before} becomes ${edit.after}`} title=${kept ? "Undo" : "Keep"} onClick=${toggle}>${kept ? "↶" : "✓"}</button>
  </span>`;
}

export class Revise extends View {
  #abort = null;

  constructor(props) {
    super(props);
    this.state = { ...wrong, spans: [], knobs: {}, ...fromLink(props.state, LINKED), result: null, error: null, running: false };
  }

  change() {
    this.stop();
    this.setState({ result: null, error: null });
  }

  componentDidUpdate({ state }) {
    if (!this.props.state || this.props.state === state) return;
    this.stop();
    this.setState({ spans: [], ...fromLink(this.props.state, LINKED), result: null, error: null });
  }

  request() {
    const { text, instruction, spans, knobs } = this.state;
    const asked = instruction ? { instruction } : {};
    return { text, ...asked, ...(spans.length ? { spans } : {}), ...given("revise", "diffusion", knobs) };
  }

  run = async (event) => {
    event?.preventDefault();
    if (this.state.running) return;
    const { signal } = (this.#abort = new AbortController());
    this.setState({ running: true, error: null, result: null });
    const request = this.request();
    try {
      const answer = await generate(server.value.model, { ...request, return_perf_metrics: true }, signal);
      signal.throwIfAborted();
      const edits = JSON.parse(answer.edits);
      this.setState({ result: { original: request.text, edits, kept: edits.map(() => true), passes: answer.forwards } });
    } catch (error) {
      if (!signal.aborted) this.setState({ error });
    }
    this.setState({ running: false });
  };

  stop = () => this.#abort?.abort();

  /** Take what is selected as a part to reconsider; parts that touch become one. */
  mark = () => {
    const { selectionStart, selectionEnd, value } = this.input;
    if (selectionStart === selectionEnd) return this.setState({ hint: "Select a part of the text first." });
    const added = [pointsTo(value, selectionStart), pointsTo(value, selectionEnd)];
    const merged = [];
    for (const [start, end] of [...this.state.spans, added].sort((one, other) => one[0] - other[0])) {
      const before = merged.at(-1);
      if (before && start <= before[1]) before[1] = Math.max(before[1], end);
      else merged.push([start, end]);
    }
    this.setState({ spans: merged, hint: "" });
  };

  toggle = (index) => this.setState(({ result }) => ({ result: { ...result, kept: result.kept.map((kept, at) => (at === index ? !kept : kept)) } }));

  /** Return the text with the edits that were kept. */
  revised() {
    const { original, edits, kept } = this.state.result;
    return editedParts(original, edits).map((part) => part.text ?? (kept[part.index] ? part.after : part.before)).join("");
  }

  keys = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.run(event);
    if (event.key === "Escape") this.stop();
  };

  render(_, { text, instruction, spans, knobs, result, error, running, hint }) {
    const letters = spans.length ? [...text] : [];
    return html`<div class="view" onKeyDown=${this.keys}>
      <h2>Revise a text</h2>
      <p>The server rereads the text, masks what looks unlikely, and denoises it with both sides in view.</p>
      ${!denoises() && html`<p class="notice">This checkpoint was not trained to denoise, and texts are revised by denoising. ${denoiser()}</p>`}
      <form class="card" onSubmit=${this.run}>
        <label for="revise-question">The question that the text answers</label>
        <input id="revise-question" type="text" dir="auto" value=${instruction} onInput=${(event) => this.setState({ instruction: event.currentTarget.value })} />
        <label for="revise-text">Text</label>
        <textarea id="revise-text" class="code" rows="8" dir="auto" spellcheck="false" ref=${(node) => (this.input = node)} value=${text} onInput=${(event) => this.setState({ text: event.currentTarget.value, spans: [] })}></textarea>
        <div class="row wrap">
          ${running ? html`<button type="button" class="main stop" onClick=${this.stop}>■ Stop</button>` : html`<button class="main" disabled=${!text || !denoises()}>Revise ${spans.length ? "what is marked" : "what looks unlikely"}</button>`}
          <button type="button" onClick=${this.mark}>Mark what is selected</button>
          <span class="space"></span>
          <${Copy} label="Copy link" text=${() => permalink("revise", { text, instruction, spans, knobs })} />
        </div>
        ${hint && html`<p class="small" role="status">${hint}</p>`}
        ${spans.length > 0 && html`<ul class="spans" aria-label="Marked">
          ${spans.map(([start, end]) => html`<li key=${start}><span class="small">${start} to ${end}</span> <code dir="auto">${letters.slice(start, Math.min(end, start + SHOWN_CHARACTERS)).join("")}</code>
            <button type="button" class="quiet" aria-label=${`Unmark ${start} to ${end}`} onClick=${() => this.setState({ spans: spans.filter((span) => span[0] !== start) })}>✕</button></li>`)}
        </ul>`}
      </form>
      <${Failure} error=${error} again=${this.run} />
      <div aria-live="polite">${running ? html`<p class="small">Rereading…</p>` : result && html`<p class="small">${result.edits.length ? `${result.edits.length} ${result.edits.length === 1 ? "edit" : "edits"}` : "Nothing looks unlikely: the text stays as it is"}, ${result.passes} passes</p>`}</div>
      ${result && html`<article class="card">
        <div class="shown code" dir="auto">${editedParts(result.original, result.edits).map((part) => (part.text === undefined ? html`<${Edit} key=${part.index} edit=${part} kept=${result.kept[part.index]} toggle=${() => this.toggle(part.index)} />` : part.text))}</div>
        <div class="row"><${Copy} text=${() => this.revised()} /><button type="button" class="quiet" onClick=${() => this.setState({ text: this.revised(), spans: [], result: null })}>Go on with this text</button></div>
      </article>`}
      <${Knobs} operation="revise" mode="diffusion" knobs=${knobs} prefix="revise" onChange=${(knobs) => this.setState({ knobs })} />
      <${Code} request=${() => this.request()} verb="generate" prefix="revise" />
    </div>`;
  }
}

// Fill in: a text with gaps, what was tried for each, and the text whole.
import { generate } from "./api.js";
import { Code } from "./code.js";
import { GAP, gapped } from "./examples.js";
import { Knobs } from "./knobs.js";
import { fromLink, permalink } from "./permalink.js";
import { given } from "./request.js";
import { denoiser, denoises, server } from "./server.js";
import { segmentsOf } from "./texts.js";
import { Copy, Failure, html, View } from "./ui.js";

const LINKED = ["text", "instruction", "knobs"];
const LEAST_SCORE = -6; // of the bar that shows a mean log-probability

/** Return what was tried, the likeliest first; a text that several sizes gave stands there once. */
function byText(tried) {
  const found = new Map();
  for (const { text, score, size } of tried) {
    const known = found.get(text) ?? { text, score, sizes: new Set() };
    known.score = Math.max(known.score ?? -Infinity, score ?? -Infinity);
    known.sizes.add(size);
    found.set(text, known);
  }
  return [...found.values()].map((one) => ({ ...one, score: Number.isFinite(one.score) ? one.score : null })).sort((one, other) => (other.score ?? -Infinity) - (one.score ?? -Infinity));
}

function Candidates({ tried, gap, chosen, choose }) {
  const best = byText(tried);
  return html`<div class="wide" tabindex="0" role="region" aria-label=${`Candidates of gap ${gap + 1}`}>
    <table>
      <caption>Gap ${gap + 1}: what was tried</caption>
      <thead><tr><th scope="col">score</th><th scope="col">tokens</th><th scope="col">text</th><th scope="col"><span class="unseen">Use</span></th></tr></thead>
      <tbody>
        ${best.map(
          ({ score, sizes, text }) => html`<tr class=${text === chosen ? "chosen" : ""}>
            <td class="bar"><meter min=${LEAST_SCORE} max="0" value=${score ?? LEAST_SCORE} aria-label="score"></meter> ${score === null ? "none" : score.toFixed(2).replace("-0.00", "0.00")}</td>
            <td>${[...sizes].sort((one, other) => one - other).join(", ")}</td>
            <td><code dir="auto" class="exact">${text || "(nothing)"}</code></td>
            <td>${text === chosen ? html`<span class="small">in use</span>` : html`<button type="button" class="quiet" onClick=${() => choose(text)}>Use</button>`}</td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

export class Fill extends View {
  #abort = null;

  constructor(props) {
    super(props);
    this.state = { ...gapped, knobs: {}, ...fromLink(props.state, LINKED), result: null, error: null, running: false };
  }

  change() {
    this.stop();
    this.setState({ result: null, error: null });
  }

  componentDidUpdate({ state }) {
    if (!this.props.state || this.props.state === state) return;
    this.stop();
    this.setState({ ...fromLink(this.props.state, LINKED), result: null, error: null });
  }

  request() {
    const { text, instruction, knobs } = this.state;
    const asked = instruction ? { instruction } : {};
    return { segments: segmentsOf(text), ...asked, ...given("infill", "diffusion", knobs) };
  }

  run = async (event) => {
    event?.preventDefault();
    if (this.state.running) return;
    const { signal } = (this.#abort = new AbortController());
    this.setState({ running: true, error: null, result: null });
    const { segments, ...more } = this.request();
    try {
      const answer = await generate(server.value.model, { segments, ...more, return_candidates: true, return_perf_metrics: true }, signal);
      signal.throwIfAborted();
      this.setState({ result: { segments, fills: [].concat(answer.fills), candidates: JSON.parse(answer.infill_candidates), passes: answer.forwards } });
    } catch (error) {
      if (!signal.aborted) this.setState({ error });
    }
    this.setState({ running: false });
  };

  stop = () => this.#abort?.abort();

  /** Put a gap where the cursor is, in place of what is selected. */
  gap = () => {
    const { selectionStart, selectionEnd, value } = this.input;
    this.setState({ text: value.slice(0, selectionStart) + GAP + value.slice(selectionEnd) }, () => {
      this.input.focus();
      this.input.setSelectionRange(selectionStart + GAP.length, selectionStart + GAP.length);
    });
  };

  choose = (gap, text) => this.setState(({ result }) => ({ result: { ...result, fills: result.fills.map((fill, index) => (index === gap ? text : fill)) } }));

  keys = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.run(event);
    if (event.key === "Escape") this.stop();
  };

  render(_, { text, instruction, knobs, result, error, running }) {
    let next = 0;
    const parts = result?.segments.map((part) => (typeof part === "string" ? part : html`<ins class="filled">${result.fills[next++]}</ins>`));
    const gaps = segmentsOf(text).filter((part) => typeof part !== "string").length;
    const whole = () => { let at = 0; return result.segments.map((part) => (typeof part === "string" ? part : result.fills[at++])).join(""); };
    return html`<div class="view" onKeyDown=${this.keys}>
      <h2>Fill in what is missing</h2>
      <p>The model sees both sides of a gap. <code>${GAP}</code> is a gap; <code>[[fill:2]]</code> is one of two tokens.</p>
      ${!denoises() && html`<p class="notice">This checkpoint was not trained to denoise, and gaps are filled by denoising. ${denoiser()}</p>`}
      <form class="card" onSubmit=${this.run}>
        <label for="fill-question">The question that the text answers</label>
        <input id="fill-question" type="text" dir="auto" value=${instruction} onInput=${(event) => this.setState({ instruction: event.currentTarget.value })} />
        <label for="fill-text">Text</label>
        <textarea id="fill-text" class="code" rows="8" dir="auto" spellcheck="false" ref=${(node) => (this.input = node)} value=${text} onInput=${(event) => this.setState({ text: event.currentTarget.value })}></textarea>
        <div class="row">
          ${running ? html`<button type="button" class="main stop" onClick=${this.stop}>■ Stop</button>` : html`<button class="main" disabled=${!gaps || !denoises()}>Fill ${gaps === 1 ? "the gap" : `${gaps} gaps`}</button>`}
          <button type="button" onClick=${this.gap}>Put a gap at the cursor</button>
          <span class="space"></span>
          <${Copy} label="Copy link" text=${() => permalink("fill", { text, instruction, knobs })} />
        </div>
      </form>
      <${Failure} error=${error} again=${this.run} />
      <div aria-live="polite">${running ? html`<p class="small">Filling…</p>` : result && html`<p class="small">${result.passes} passes</p>`}</div>
      ${result && html`<article class="card"><div class="shown code" dir="auto">${parts}</div><div class="row"><${Copy} text=${whole} /></div></article>
        ${result.candidates.map((tried, index) => html`<${Candidates} key=${index} gap=${index} tried=${tried} chosen=${result.fills[index]} choose=${(text) => this.choose(index, text)} />`)}`}
      <${Knobs} operation="infill" mode="diffusion" knobs=${knobs} prefix="fill" onChange=${(knobs) => this.setState({ knobs })} />
      <${Code} request=${() => this.request()} verb="generate" prefix="fill" />
    </div>`;
  }
}

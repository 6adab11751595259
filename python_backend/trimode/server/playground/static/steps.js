// Steps: the recorded steps of the last answer, under a slider, with the probability of each place.
import { Component } from "./vendor/htm-preact.js";
import { MODE_NAMES, several } from "./server.js";
import { Pictures } from "./pictures.js";
import { counted, Legend, Shown } from "./shown.js";
import { Store, useStore } from "./store.js";
import { html } from "./ui.js";

/** The answer that was watched last, and what it answers. */
export const last = new Store({ answer: null, question: "", pictures: [] });

const PLAY_MILLISECONDS = 400;
const MOST_ROWS = 64;

/** Every pass over the block of a step as a row of cells: the block seen as it fills. */
function Passes({ steps, at, go }) {
  const { start } = steps[at];
  let first = at;
  let end = at;
  while (first > 0 && steps[first - 1].start === start) first -= 1;
  while (end + 1 < steps.length && steps[end + 1].start === start) end += 1;
  const rows = steps.slice(first, end + 1).slice(0, MOST_ROWS);
  return html`<div class="passes" aria-label="Passes over this block" role="group">
    ${rows.map(
      (step, index) => html`<button type="button" key=${index} class=${first + index === at ? "on" : ""} aria-current=${first + index === at ? "step" : null} aria-label=${`Step ${first + index + 1}: ${step.kind === "verify" ? "verification" : `pass ${step.pass}`}`} onClick=${() => go(first + index)}>
        <span class="small">${step.kind === "verify" ? "✓" : step.pass}</span>
        <span class="cells">${step.places.map((place) => html`<i class=${`cell ${place.kind}`}></i>`)}</span>
      </button>`,
    )}
  </div>`;
}

/** Each place of the block: its token, and how probable it was when it was chosen, as the height of a bar. */
function Places({ step }) {
  return html`<ol class="places" aria-label="Places of the block">
    ${step.places.map((place, index) => {
      const known = typeof place.prob === "number";
      const name = place.kind === "masked" ? "masked" : JSON.stringify(place.text);
      return html`<li key=${index} class=${place.kind} title=${`${name}${known ? `, ${(100 * place.prob).toFixed(1)} %` : ""}`}>
        <span class="unseen">${name}, ${place.kind}${known ? `, ${(100 * place.prob).toFixed(0)} percent` : ""}</span>
        <span class="column" aria-hidden="true"><i style=${{ height: `${known ? Math.max(3, 100 * place.prob) : 0}%` }}></i></span>
        <code aria-hidden="true" dir="auto">${place.kind === "masked" ? "" : place.text.replaceAll("\n", "↵").replaceAll(" ", "·")}</code>
      </li>`;
    })}
  </ol>`;
}

class Scrubber extends Component {
  #timer = 0;

  constructor(props) {
    super(props);
    this.state = { at: 0, playing: false };
  }

  componentDidUpdate({ answer }) {
    if (answer !== this.props.answer) this.go(0);
  }

  componentWillUnmount() {
    clearInterval(this.#timer);
  }

  go = (at) => {
    this.#stop();
    this.setState({ at, playing: false });
  };

  #stop() {
    clearInterval(this.#timer);
  }

  play = () => {
    if (this.state.playing) return this.go(this.state.at);
    const most = this.props.answer.steps.length - 1;
    this.setState(({ at }) => ({ playing: true, at: at === most ? 0 : at }));
    this.#timer = setInterval(() => {
      if (this.state.at >= most) this.go(most);
      else this.setState(({ at }) => ({ at: at + 1 }));
    }, PLAY_MILLISECONDS);
  };

  render({ answer, question, pictures }, { at, playing }) {
    const { steps } = answer;
    const place = Math.min(at, steps.length - 1);
    const step = steps[place];
    const tail = step.places.filter(({ kind }) => kind !== "committed" && kind !== "fixed");
    const what = step.kind === "verify" ? `verification: ${step.kept} of ${step.drafted} drafted tokens kept` : `pass ${step.pass} over the block at token ${step.start}: ${counted(step.places)}`;
    return html`<${Pictures} pictures=${pictures} />
      <p class="question shown" dir="auto">${question}</p>
      <div class="card">
        <div class="row">
          <button type="button" class="main" onClick=${this.play}>${playing ? "❚❚ Pause" : "▶ Play"}</button>
          <label class="unseen" for="step">Step</label>
          <input id="step" type="range" min="0" max=${steps.length - 1} value=${place} onInput=${(event) => this.go(Number(event.currentTarget.value))} aria-valuetext=${`Step ${place + 1} of ${steps.length}, ${what}`} />
          <output for="step">${place + 1} / ${steps.length}</output>
        </div>
        <p class="small">${MODE_NAMES[answer.mode] ?? answer.mode}${several() && ` of ${answer.model}`}, ${what}, after ${step.seconds.toFixed(2)} s</p>
      </div>
      <article class="card"><${Shown} text=${answer.text.slice(0, step.length)} tail=${tail} /></article>
      <h3>The probability of each place when it was chosen</h3>
      <div class="wide" tabindex="0" role="region" aria-label="Probabilities"><${Places} step=${step} /></div>
      <h3>The passes over this block</h3>
      <${Passes} steps=${steps} at=${place} go=${this.go} />
      <${Legend} draft=${answer.steps.some(({ kind }) => kind === "verify")} />`;
  }
}

export function Steps() {
  const { answer, question, pictures } = useStore(last);
  return html`<div class="view">
    <h2>Step by step</h2>
    ${answer?.steps.length ? html`<${Scrubber} answer=${answer} question=${question} pictures=${pictures} />` : html`<p>There are no steps yet. Ask something in <a href="#chat">Chat</a> in diffusion or self-speculation; its steps are recorded here.</p>`}
  </div>`;
}

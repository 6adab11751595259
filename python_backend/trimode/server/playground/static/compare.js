// Compare: one prompt through the modes, one after the other: passes, time, and how much of the text is the same.
import { Code } from "./code.js";
import { questions } from "./examples.js";
import { Knobs } from "./knobs.js";
import { fromLink, permalink } from "./permalink.js";
import { asFile, asMessage, Attach, LeftOut } from "./pictures.js";
import { Player, watching } from "./player.js";
import { given } from "./request.js";
import { MODE_NAMES, sees, server } from "./server.js";
import { Shown, Strip } from "./shown.js";
import { last } from "./steps.js";
import { Copy, Failure, html, View } from "./ui.js";

const LINKED = ["prompt", "knobs"];
const ORDER = ["autoregressive", "self_speculation", "diffusion", "auto"];

/** Return what `text` has in common with `reference`, in words. */
export function sameness(text, reference) {
  if (text === reference) return "the same";
  const ours = [...text];
  const theirs = [...reference];
  const at = ours.findIndex((letter, index) => letter !== theirs[index]);
  return `the same up to character ${at < 0 ? ours.length : at}`;
}

const figure = (value, most = 1) => value.toLocaleString("en", { maximumFractionDigits: most });

function Row({ mode, answer, reference, most }) {
  const passes = answer?.passes ?? 0;
  return html`<tr>
    <th scope="row">${MODE_NAMES[mode]}</th>
    <td class="bar"><meter min="0" max=${most} value=${passes} aria-label=${`${passes} passes`}></meter> ${answer ? figure(passes) : ""}</td>
    <td>${answer ? figure(answer.tokens) : ""}</td>
    <td>${answer ? figure(answer.rate) : ""}</td>
    <td>${answer ? answer.seconds.toFixed(2) : ""}</td>
    <td>${answer?.done && answer.seconds ? figure(answer.tokens / answer.seconds, 0) : ""}</td>
    <td>${!answer?.done || answer.error ? "" : mode === "autoregressive" ? "reference" : reference?.done ? sameness(answer.text, reference.text) : ""}</td>
  </tr>`;
}

export class Compare extends View {
  #player = null;
  #stopped = false;
  #round = 0; // of comparisons
  #compared = Promise.resolve(); // the end of the last comparison
  #example = questions()[0];

  constructor(props) {
    super(props);
    this.state = { prompt: this.#example, pictures: [], knobs: {}, ...fromLink(props.state, LINKED), answers: {}, running: false };
  }

  /** Stop what another model answers, and show nothing of it under the name of this one. */
  change = () => {
    this.#clear();
    const before = this.#example;
    this.#example = questions()[0];
    this.setState(({ prompt }) => ({ prompt: prompt === before ? this.#example : prompt, answers: {} }));
  };

  #clear() {
    this.stop();
    this.#round += 1; // the last frame of the answers is not drawn
  }

  async componentDidUpdate({ state }) {
    if (!this.props.state || this.props.state === state) return;
    const linked = fromLink(this.props.state, LINKED);
    this.#clear();
    await this.#compared;
    this.attach?.clear();
    this.setState({ prompt: "", pictures: [], knobs: {}, ...linked, answers: {} });
  }

  get modes() {
    return ORDER.filter((mode) => server.value.modes.includes(mode));
  }

  /** The pictures that are asked with; a model of text alone leaves them for another one. */
  get pictures() {
    return sees() ? this.state.pictures : [];
  }

  request(mode, address) {
    const { prompt, knobs } = this.state;
    const { pictures } = this;
    return { messages: [asMessage({ role: "user", content: prompt, pictures }, address)], mode, ...given("generate", mode, knobs) };
  }

  run = (event) => {
    event?.preventDefault();
    if (!this.state.running && !this.attach?.busy) this.#compared = this.#compare();
  };

  async #compare() {
    const round = (this.#round += 1);
    const { prompt: question } = this.state;
    const { pictures } = this;
    this.#stopped = false;
    this.setState({ answers: {}, running: true });
    for (const mode of this.modes) {
      if (this.#stopped) break;
      const draw = (answer) => round === this.#round && this.setState(({ answers }) => ({ answers: { ...answers, [mode]: answer } }));
      this.#player = new Player({ ...this.request(mode), ...watching(mode) }, mode, draw);
      const answer = await this.#player.play();
      if (answer.steps.length) last.set({ answer, question, pictures });
      if (answer.error) break;
    }
    this.setState({ running: false });
  }

  stop = () => {
    this.#stopped = true;
    this.#player?.stop();
  };

  render(_, { prompt, knobs, answers, running }) {
    const { pictures } = this;
    const most = Math.max(1, ...Object.values(answers).map((answer) => answer.passes));
    const error = Object.values(answers).find((answer) => answer.error)?.error;
    return html`<div class="view">
      <h2>One prompt, every mode</h2>
      <form class="prompt card" onSubmit=${this.run} onKeyDown=${(event) => event.key === "Escape" && this.stop()}>
        <label class="unseen" for="compare-prompt">Prompt</label>
        <textarea id="compare-prompt" rows="2" dir="auto" value=${prompt} onInput=${(event) => this.setState({ prompt: event.currentTarget.value })}></textarea>
        ${sees() && html`<${Attach} ref=${(attach) => (this.attach = attach)} pictures=${pictures} earlier=${[]} onChange=${(pictures) => this.setState({ pictures })} />`}
        <${LeftOut} messages=${[this.state]} />
        <div class="row">
          ${running ? html`<button type="button" class="main stop" onClick=${this.stop}>■ Stop</button>` : html`<button class="main" disabled=${!prompt && !pictures.length}>Compare</button>`}
          <span class="space"></span>
          <${Copy} label="Copy link" text=${() => permalink("compare", { prompt, knobs })} />
        </div>
      </form>
      <${Failure} error=${error} again=${this.run} />
      <div class="wide" tabindex="0" role="region" aria-label="Figures of each mode">
        <table class="compare">
          <thead><tr><th scope="col">mode</th><th scope="col">passes</th><th scope="col">tokens</th><th scope="col">tokens a pass</th><th scope="col">seconds</th><th scope="col">tokens/s</th><th scope="col">text</th></tr></thead>
          <tbody>${this.modes.map((mode) => html`<${Row} key=${mode} mode=${mode} answer=${answers[mode]} reference=${answers.autoregressive} most=${most} />`)}</tbody>
        </table>
      </div>
      <div class="columns">
        ${this.modes.map(
          (mode) => answers[mode] && html`<article class="card" key=${mode}>
            <h3>${MODE_NAMES[mode]}</h3>
            <${Shown} text=${answers[mode].text} tail=${answers[mode].tail} />
            <${Strip} step=${answers[mode].done ? null : answers[mode].steps.at(-1)} />
          </article>`,
        )}
      </div>
      <p class="small">The modes take turns, so that none slows another. Seconds are those of this page: they hold the way to the server too.</p>
      <${Knobs} operation="generate" mode="auto" knobs=${knobs} prefix="compare" onChange=${(knobs) => this.setState({ knobs })} />
      <${Code} request=${() => ({ ...this.request(this.modes.at(-1), asFile), stream: true })} verb="generate_stream" prefix="compare" />
    </div>`;
  }
}

// Chat: a conversation whose answers are seen being made.
import { Code } from "./code.js";
import { questions, SEEN, TALKING } from "./examples.js";
import { Form, formFields } from "./form.js";
import { clear, forget, keep, kept } from "./kept.js";
import { Knobs } from "./knobs.js";
import { fromLink, permalink } from "./permalink.js";
import { asFile, asMessage, Attach, LeftOut, Pictures, withoutPictures } from "./pictures.js";
import { PACES, Player, watching } from "./player.js";
import { given } from "./request.js";
import { choose, denoises, firstMode, MODE_HELP, MODE_NAMES, MODES, sees, server, several } from "./server.js";
import { Legend, Shown, Strip } from "./shown.js";
import { last } from "./steps.js";
import { useStore } from "./store.js";
import { Choice, Copy, Failure, Figures, Fold, Heard, html, View } from "./ui.js";

const NEW = { id: "", messages: [], written: "", pictures: [] };
const CALM = 150;
const LINKED = ["messages", "written", "mode", "pace", "knobs", "form"];

/** Return the mode and knobs that the model is asked with until others are chosen. */
const usual = () => ({ mode: firstMode(), knobs: denoises() ? {} : TALKING });
const set = (knobs) => JSON.stringify(Object.entries(knobs).filter(([, written]) => written));

export function ModeChoice({ name, mode, onChange }) {
  const options = MODES.map((id) => ({ id, text: MODE_NAMES[id], help: MODE_HELP[id], off: !server.value.modes.includes(id) }));
  return html`<${Choice} label="Mode" name=${name} options=${options} value=${mode} onChange=${onChange} />
    <p class="small">${MODE_HELP[mode]}</p>
    ${!denoises() && html`<p class="notice">This checkpoint was not trained to denoise. It answers token by token, so there are no blocks to watch.</p>`}`;
}

export function PaceChoice({ name, pace, onChange }) {
  const options = Object.entries(PACES).map(([id, text]) => ({ id, text }));
  return html`<${Choice} label="Pace of what is shown" name=${name} options=${options} value=${String(pace)} onChange=${(id) => onChange(Number(id))} />`;
}

function Kept({ open }) {
  const { chats, full } = useStore(kept);
  return html`<${Fold} title="Chats kept in this browser" note=${chats.length ? String(chats.length) : ""}>
    ${full && html`<p class="notice">This browser has no room left. Clear some chats.</p>`}
    ${!chats.length && html`<p class="small">None yet. They stay in this browser, and can be cleared.</p>`}
    <ul class="chats">
      ${chats.map(
        (chat) => html`<li key=${chat.id}>
          <button type="button" class="link" onClick=${() => open(chat)}>${chat.title}</button>
          <button type="button" class="quiet" aria-label=${`Forget ${chat.title}`} onClick=${() => forget(chat.id)}>✕</button>
        </li>`,
      )}
    </ul>
    ${chats.length > 0 && html`<button type="button" onClick=${clear}>Clear all</button>`}
  <//>`;
}

function Turn({ message, answer, running }) {
  if (message?.role === "user") return html`<div class="turn user"><h3 class="unseen">You</h3><${Pictures} ...${message} />${message.content && html`<div class="bubble shown" dir="auto">${message.content}</div>`}</div>`;
  const shown = answer ?? { text: message.content, tail: [] };
  return html`<div class="turn model">
    <h3 class="unseen">Answer</h3>
    <div class="bubble"><${Shown} text=${shown.text} tail=${shown.tail} waiting=${running && !shown.text && !shown.tail.length} /></div>
    ${answer && html`<${Strip} step=${running ? answer.steps.at(-1) : null} /><${Figures} answer=${answer} />`}
  </div>`;
}

export class Chat extends View {
  #player = null;
  #asked = Promise.resolve(); // the end of the last question
  #follows = true; // the page scrolls along, until its reader scrolls
  #usual = usual();

  constructor(props) {
    super(props);
    const { state } = props;
    const first = { ...NEW, ...this.#usual, pace: CALM, form: { type: "", guide: "" }, answers: {}, running: false };
    this.state = { ...first, ...fromLink(state, LINKED) };
  }

  componentDidMount() {
    for (const kind of ["wheel", "touchmove"]) addEventListener(kind, this.leave, { passive: true });
    super.componentDidMount();
    if (this.props.example) this.example();
  }

  componentWillUnmount() {
    super.componentWillUnmount();
    for (const kind of ["wheel", "touchmove"]) removeEventListener(kind, this.leave);
  }

  leave = () => (this.#follows = false);

  componentDidUpdate({ state, example }, { answers }) {
    if (this.#follows && answers !== this.state.answers) this.end?.scrollIntoView({ block: "nearest" });
    if (this.props.state && this.props.state !== state) {
      const linked = fromLink(this.props.state, LINKED);
      this.#show(() => ({ ...NEW, ...linked }));
    }
    if (this.props.example && !example && !this.state.running) this.example();
  }

  /** Stop what another model answers, and go on with this one: what a person set stays, where the model has it. */
  change = () => {
    this.stop();
    const before = this.#usual;
    const now = (this.#usual = usual());
    this.setState(({ mode, knobs }) => ({
      mode: mode === before.mode || !server.value.modes.includes(mode) ? now.mode : mode,
      knobs: [before.knobs, SEEN].map(set).includes(set(knobs)) ? now.knobs : knobs,
    }));
  };

  example() {
    this.setState(denoises() ? { knobs: SEEN } : {}, () => this.ask(questions()[0]));
  }

  /** The pictures that go with the next message; a model of text alone leaves them for another one. */
  get pictures() {
    return sees() ? this.state.pictures : [];
  }

  /** Return the messages with one more, of `written` and the pictures that go with it, if there are any. */
  conversation(written) {
    const { pictures } = this;
    const { messages } = this.state;
    if (!written && !pictures.length) return messages;
    return [...messages, { role: "user", content: written, ...(pictures.length ? { pictures } : {}) }];
  }

  /** Return what is asked; `address` is as in asMessage. */
  request(messages, address) {
    const { mode, knobs, form } = this.state;
    const read = sees() ? messages : withoutPictures(messages);
    return { messages: read.map((message) => asMessage(message, address)), mode, ...given("generate", mode, knobs), ...formFields(form) };
  }

  ask(written) {
    this.#begin(this.conversation(written));
  }

  #begin(messages) {
    if (!this.state.running && !this.attach?.busy && messages.length) this.#asked = this.#ask(messages);
  }

  async #ask(asked) {
    const { mode, pace, pictures } = this.state;
    const { name } = server.value;
    const request = this.request(asked);
    const id = this.state.id || String(Date.now());
    this.#follows = true;
    const place = asked.length;
    const draw = (answer) => player === this.#player && this.setState(({ answers }) => ({ answers: { ...answers, [place]: answer } }));
    const player = (this.#player = new Player({ ...request, ...watching(mode) }, mode, draw, pace));
    const { answer } = player;
    const sent = asked === this.state.messages ? {} : { written: "", pictures: sees() ? [] : pictures };
    this.setState({ id, messages: asked, ...sent, running: true, answers: { ...this.state.answers, [place]: answer } });
    this.attach?.clear();
    await player.play();
    last.set({ answer, question: asked.at(-1).content, pictures: asked.at(-1).pictures });
    const messages = answer.error || !answer.text ? asked : [...asked, { role: "assistant", content: answer.text }];
    this.setState(({ answers }) => ({ messages, running: false, answers: { ...answers, [place]: answer } }));
    if (messages.length > asked.length) keep({ id, messages, mode, ...(several() ? { model: name } : {}) });
    if (name === server.value.name) this.input?.focus(); // not out of the choice that stopped it
  }

  stop = () => this.#player?.stop();

  /** Show another conversation, which `made` returns, once the answer that is being made has ended in its own. */
  async #show(made) {
    this.stop();
    await this.#asked;
    this.#player = null; // the last frame of its answer is not drawn here
    this.#fresh(made());
  }

  #fresh(made) {
    this.attach?.clear();
    this.setState({ ...made, answers: {} });
  }

  open = (chat) =>
    this.#show(() => {
      const { id, messages, mode, model } = kept.value.chats.find((one) => one.id === chat.id) ?? chat;
      if (model) choose(model);
      else server.set({ missing: "" });
      return { id, messages, mode: server.value.modes.includes(mode) ? mode : firstMode() };
    });

  keys = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.ask(this.input.value);
    } else if (event.key === "Escape") this.stop();
  };

  render(_, { messages, written, mode, pace, knobs, form, answers, running }) {
    const { pictures } = this;
    const place = messages.length;
    const pending = answers[place] && messages.at(-1)?.role === "user" ? answers[place] : null;
    const current = pending ?? answers[place - 1];
    const link = () => permalink("chat", { messages: withoutPictures(messages), written, mode, pace, knobs, form });
    return html`<div class="view two">
      <section class="talk" aria-label="Chat">
        ${!place && html`<${Welcome} ask=${(text) => this.ask(text)} />`}
        <div class="turns">
          ${messages.map((message, index) => html`<${Turn} key=${index} message=${message} answer=${answers[index]} />`)}
          ${pending && html`<${Turn} key=${place} answer=${pending} running=${running} />`}
        </div>
        <div class="end" ref=${(node) => (this.end = node)}></div>
        <${Heard} answer=${current} />
        <${Failure} error=${pending?.error} again=${() => this.#begin(messages)} />
        <form class="prompt card" onSubmit=${(event) => (event.preventDefault(), this.ask(this.input.value))}>
          <label class="unseen" for="chat-prompt">Message</label>
          <textarea id="chat-prompt" rows="2" dir="auto" ref=${(node) => (this.input = node)} value=${written} placeholder="Ask something. Enter sends, Shift+Enter makes a line, Esc stops." onInput=${(event) => this.setState({ written: event.currentTarget.value })} onKeyDown=${this.keys}></textarea>
          ${sees() && html`<${Attach} ref=${(attach) => (this.attach = attach)} pictures=${pictures} earlier=${messages.flatMap((message) => message.pictures ?? [])} onChange=${(pictures) => this.setState({ pictures })} />`}
          <${LeftOut} messages=${[...messages, this.state]} />
          <div class="row">
            ${running ? html`<button type="button" class="main stop" onClick=${this.stop}>■ Stop</button>` : html`<button class="main" disabled=${!written && !pictures.length}>Send</button>`}
            <span class="space"></span>
            ${place > 0 && html`<button type="button" class="quiet" disabled=${running} onClick=${() => this.#fresh(NEW)}>New chat</button>`}
            <${Copy} label="Copy link" text=${link} />
            ${current?.steps.length > 0 && current.done && html`<a class="button quiet" href="#steps">Look at the steps</a>`}
          </div>
        </form>
      </section>
      <aside class="panel" aria-label="How it is asked">
        <${ModeChoice} name="chat-mode" mode=${mode} onChange=${(mode) => this.setState({ mode })} />
        ${denoises() && html`<${PaceChoice} name="chat-pace" pace=${pace} onChange=${(pace) => this.setState({ pace })} /><${Legend} draft=${mode !== "diffusion"} />`}
        <${Knobs} operation="generate" mode=${mode} knobs=${knobs} prefix="chat" onChange=${(knobs) => this.setState({ knobs })} />
        <${Form} form=${form} prefix="chat" onChange=${(form) => this.setState({ form })} />
        <${Code} request=${() => ({ ...this.request(this.conversation(written || (place || pictures.length ? "" : questions()[0])), asFile), stream: true })} verb="generate_stream" prefix="chat" />
        <${Kept} open=${this.open} />
      </aside>
    </div>`;
  }
}

function Welcome({ ask }) {
  return html`<div class="welcome">
    <h2>${denoises() ? "See a model think in blocks" : "Ask the model"}</h2>
    <p>${denoises() ? "A block of tokens starts as masks. Each pass reveals those that the model is sure of, until the block is final." : "This checkpoint writes one token at a time."}</p>
    <div class="row wrap">${questions().map((text) => html`<button type="button" onClick=${() => ask(text)}>${text}</button>`)}</div>
  </div>`;
}

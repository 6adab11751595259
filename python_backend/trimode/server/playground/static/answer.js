// Answer: an answer while it arrives. It keeps what is final, the block that is being denoised, and every step so far.
// Knows the events of the API; nothing of how they are drawn.

/** Return a list of token ids; Triton writes a list of one as a number. */
const listed = (value) => (value === undefined ? [] : [].concat(value));

/**
 * Splits events into what is shown one after the other: each pass, and in a pass first the tokens that became final,
 * then the block. A verification is so seen before the next draft, whether they came together or one pass made both.
 */
export class Splitter {
  #tokens = 0; // of all events so far

  /** Return the parts of an event; a part has one block at most, which is parsed. */
  split(event) {
    return this.#passes(event).flatMap((pass) => {
      if (!pass.provisional || !pass.output_ids.length) return [pass];
      const { text_output, output_ids, ...block } = pass;
      return [{ text_output, output_ids }, { ...block, text_output: "", output_ids: [], counted: true }];
    });
  }

  #passes(event) {
    const ids = listed(event.output_ids);
    const parts = [];
    let text = event.text_output ?? "";
    let given = 0;
    for (const written of listed(event.provisional)) {
      const block = JSON.parse(written);
      const committed = block.start + block.tokens.filter(({ state }) => state === "committed").length;
      const end = Math.max(given, committed - this.#tokens);
      parts.push({ text_output: block.committed, output_ids: ids.slice(given, end), provisional: block });
      text = text.slice(block.committed.length);
      given = end;
    }
    const rest = { ...event, text_output: text, output_ids: ids.slice(given), provisional: undefined };
    if (!parts.length || text || given < ids.length) parts.push(rest);
    else parts.push({ ...rest, ...parts.pop() });
    this.#tokens += ids.length;
    return parts;
  }
}

export class Answer {
  text = ""; // final: nothing of it is taken back
  tokens = 0;
  passes = 0;
  steps = []; // {kind, start, pass, places, length, tokens, seconds}; see take
  tail = []; // what is not final yet: places, each {text, kind, prob}
  counters = null; // of the last event
  finish = "";
  error = null;
  done = false;
  stopped = false;
  draft = null; // the last block of a draft, until it is verified

  constructor(mode, model) {
    this.mode = mode;
    this.model = model; // its name
    this.began = performance.now();
    this.seconds = 0;
  }

  /** Take one part of an event. Each pass that shows a block, or verifies one, is a step. */
  take(event, now = performance.now()) {
    this.seconds = (now - this.began) / 1000;
    const ids = event.output_ids;
    const block = event.provisional;
    this.tokens += ids.length;
    const verified = Boolean(this.draft && ids.length);
    if (verified) this.#verify(ids);
    this.text += event.text_output ?? "";
    if (verified) this.draft = null;
    if (block) this.#show(block);
    else this.tail = [];
    if ((ids.length || block) && !event.counted) this.passes += 1; // one that verifies a draft may make the next one too
    if (event.finish_reason) {
      this.finish = event.finish_reason;
      this.counters = event;
      this.tokens = event.num_output_tokens ?? this.tokens;
      this.passes = event.forwards ?? this.passes;
      this.tail = [];
      this.done = true;
    }
  }

  #show(block) {
    const before = this.steps.at(-1);
    const same = before?.start === block.start && before.kind === "denoise" && before.pass < block.step ? before.places : [];
    const whole = block.tokens.every((token) => token.state !== "provisional"); // what is committed was filled in this block
    const places = block.tokens.map((token, place) => ({ id: token.id, text: token.text, prob: token.prob, kind: kindOf(token, same[place], whole) }));
    this.tail = places.filter((place) => !isFinal(place));
    this.draft = !whole && places.some(isFinal) ? places : null;
    this.#note("denoise", block.start, block.step, places);
  }

  /** Mark what a verification kept of the draft, and what it refused. */
  #verify(ids) {
    const proposed = this.draft.filter((place) => !isFinal(place));
    let kept = 0;
    while (kept < ids.length && kept < proposed.length && proposed[kept].id === ids[kept]) kept += 1;
    const places = this.draft.map((place, index) => {
      const offset = index - (this.draft.length - proposed.length);
      return { ...place, kind: offset < 0 ? "committed" : offset < kept ? "accepted" : "refused" };
    });
    const before = this.steps.at(-1);
    this.#note("verify", before?.start ?? 0, (before?.pass ?? 0) + 1, places, { kept, drafted: proposed.length });
  }

  #note(kind, start, pass, places, more = {}) {
    this.steps.push({ kind, start, pass, places, length: this.text.length, tokens: this.tokens, seconds: this.seconds, ...more });
  }

  /** End it with an error, or because its reader stopped it. */
  fail(error) {
    this.done = true;
    this.tail = [];
    this.stopped = error.name === "AbortError";
    if (!this.stopped) this.error = error;
  }

  /** Return tokens per pass, of the passes after the prompt's. */
  get rate() {
    const passes = this.passes - (this.counters?.prefill_forwards ?? 0);
    return passes > 0 ? this.tokens / passes : 0;
  }
}

const isFinal = (place) => place.kind === "committed" || place.kind === "fixed";

/**
 * Return how a token is shown: "masked"; "new" in the pass that filled it, then "provisional"; "committed", which is
 * "fixed" where the same pass filled it.
 */
function kindOf(token, before, whole) {
  if (token.state === "masked") return "masked";
  const fresh = !before || before.kind === "masked";
  if (token.state === "committed") return whole && fresh ? "fixed" : "committed";
  return fresh ? "new" : "provisional";
}

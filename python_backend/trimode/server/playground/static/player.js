// Player: asks for an answer and takes its events, at the pace of the server or slower, so that an eye can follow.
import { stream } from "./api.js";
import { Answer, Splitter } from "./answer.js";
import { Painter } from "./painter.js";
import { server, isWatched } from "./server.js";

export const PACES = { 0: "as it comes", 150: "calm", 600: "slow" };
const MOST_WAITING = 40; // steps that a slower pace may be behind the server; with more it hurries

/**
 * Milliseconds that the server may let passes wait, which then come together: two frames of a usual screen. An event for
 * each pass would cost the server some 400 µs; ones that come less often would be seen to stutter.
 */
const FRAME_MS = 33;

/** What an answer is asked to return, so that the page can show it. */
export function watching(mode) {
  const more = isWatched(mode) ? { stream_provisional: true, stream_interval_ms: FRAME_MS } : {};
  return { ...more, return_token_ids: true, return_perf_metrics: true, return_num_output_tokens: true };
}

export class Player {
  #abort = new AbortController();

  /** `draw(answer)` is called at most once a frame, and once more at the end. */
  constructor(request, mode, draw, pace = 0) {
    this.answer = new Answer(mode, server.value.name);
    this.request = request;
    this.pace = pace;
    this.#painter = new Painter(() => draw(this.answer));
  }

  #painter;

  /** Play to the end; never raises: what went wrong is the answer's `error`. */
  async play() {
    const { answer } = this;
    const queue = [];
    const splitter = new Splitter();
    let wake = () => {};
    const arrived = (async () => {
      try {
        for await (const event of stream(server.value.model, this.request, this.#abort.signal)) {
          const now = performance.now();
          for (const part of splitter.split(event)) queue.push({ event: part, now });
          wake();
        }
      } catch (error) {
        queue.push({ error });
        wake();
      }
      queue.push(null);
      wake();
    })();
    for (;;) {
      if (!queue.length) await new Promise((resolve) => (wake = resolve));
      const next = queue.shift();
      if (next === undefined) continue;
      if (next === null) break;
      const steps = answer.steps.length;
      if (next.error) answer.fail(next.error);
      else answer.take(next.event, next.now);
      this.#painter.ask();
      if (answer.steps.length > steps && !answer.done) await this.#rest((this.pace * MOST_WAITING) / Math.max(queue.length, MOST_WAITING));
    }
    await arrived;
    this.#painter.ask();
    return answer;
  }

  /** Let a step be seen; once it was stopped, what came already is shown at once. */
  #rest(milliseconds) {
    if (!milliseconds || this.#abort.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#abort.signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
  }

  /** Close the connection, which ends the request on the server. */
  stop() {
    this.#abort.abort();
  }
}

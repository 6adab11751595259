// Asks the server. Every address is relative to the page's own, so that a proxy may serve both under a prefix.
// The key is a variable of this module: it is written nowhere, and is gone when the page is closed.

export const ROOT = new URL("../", document.baseURI);

let key = "";

export function setKey(text) {
  key = text.trim();
}

export function hasKey() {
  return key !== "";
}

/** An error of the server, with its stable type, or one of the way to it: "unreachable", "cut_off". */
export class ApiError extends Error {
  constructor(type, message, status = 0) {
    super(message);
    this.type = type;
    this.status = status;
  }

  /** Read `<error_type>: <message>`, or the object that OpenAI's API has for an error. */
  static of(error, status) {
    if (error && typeof error === "object") return new ApiError(error.type || error.code || "internal", String(error.message), status);
    const found = /^([a-z][a-z0-9_]*): ([^]*)$/.exec(String(error));
    return found ? new ApiError(found[1], found[2], status) : new ApiError("internal", String(error), status);
  }
}

const UNREACHABLE = "The server does not answer.";
const CUT_OFF = "The answer ended before it was complete.";

async function send(path, options) {
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let answer;
  try {
    answer = await fetch(new URL(path, ROOT), { ...options, headers, credentials: "same-origin", cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("unreachable", UNREACHABLE);
  }
  if (!answer.ok) {
    const said = await answer.text().catch(() => "");
    let error = said.slice(0, 300) || `status ${answer.status}`;
    try {
      error = JSON.parse(said).error;
    } catch {
      // what a proxy says, in its own words
    }
    const found = ApiError.of(error, answer.status);
    if (answer.status === 401) found.type = "unauthorized";
    throw found;
  }
  return answer;
}

export async function getJson(path, signal) {
  return (await send(path, { signal })).json();
}

function post(model, verb, request, signal) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request), signal };
  return send(`v2/models/${model}/${verb}`, options);
}

/** Return the one answer to a request. */
export async function generate(model, request, signal) {
  return (await post(model, "generate", request, signal)).json();
}

/** Yield the events of a streamed answer. Leaving early, or `signal`, ends the request on the server too. */
export async function* stream(model, request, signal) {
  const answer = await post(model, "generate_stream", { ...request, stream: true }, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  let finished = false;
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      waiting += value;
      const parts = waiting.split("\n\n");
      waiting = parts.pop();
      for (const part of parts) {
        if (!part.startsWith("data: ")) continue;
        const event = JSON.parse(part.slice(6));
        if (event.error) throw ApiError.of(event.error);
        finished ||= Boolean(event.finish_reason);
        yield event;
      }
    }
  } catch (error) {
    throw error.name === "AbortError" || error instanceof ApiError ? error : new ApiError("cut_off", CUT_OFF);
  } finally {
    reader.cancel().catch(() => {}); // it may have ended by itself
  }
  if (!finished) throw new ApiError("cut_off", CUT_OFF);
}

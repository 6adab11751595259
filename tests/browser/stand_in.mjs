// A server in front of the real one, for tests: it takes a prefix away as a proxy does, and can play a recording.
import { createServer, request } from "node:http";

/**
 * Serve `origin` under `prefix` while `act(address)` runs. `play(response)` answers requests for a stream in its place.
 */
export async function standIn(origin, prefix, act, play = null) {
  const { hostname, port } = new URL(origin);
  const seen = [];
  const server = createServer((asked, answer) => {
    seen.push(asked.url);
    if (!asked.url.startsWith(`${prefix}/`)) return answer.writeHead(404).end();
    const path = asked.url.slice(prefix.length);
    if (play && path.endsWith("/generate_stream")) {
      asked.resume();
      return play(answer);
    }
    const onward = request({ hostname, port, path, method: asked.method, headers: asked.headers }, (found) => {
      answer.writeHead(found.statusCode, found.headers);
      found.pipe(answer);
    });
    answer.on("close", () => onward.destroy());
    onward.on("error", () => answer.destroy());
    asked.pipe(onward);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await act(`http://127.0.0.1:${server.address().port}${prefix}`, seen);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Return what sends events one after the other, so many a second; 0 sends all at once. */
export function recording(events, aSecond = 0) {
  return async (answer) => {
    answer.writeHead(200, { "Content-Type": "text/event-stream" });
    const began = Date.now();
    for (const [index, event] of events.entries()) {
      const due = aSecond ? began + (1000 * index) / aSecond : 0;
      if (due > Date.now()) await new Promise((resolve) => setTimeout(resolve, due - Date.now()));
      if (answer.destroyed) return;
      answer.write(`data: ${JSON.stringify(event)}\n\n`);
    }
    answer.end();
  };
}

/** Return events with so many of `events` in one each, as passes come that waited for each other. */
export function together(events, count) {
  const found = [];
  for (let at = 0; at < events.length; at += count) {
    const some = events.slice(at, at + count);
    const ids = some.flatMap((event) => event.output_ids ?? []);
    found.push({ ...some.at(-1), text_output: some.map((event) => event.text_output).join(""), provisional: some.map((event) => event.provisional), ...(ids.length ? { output_ids: ids } : {}) });
  }
  return found;
}

/** Return the events of an answer of `blocks` blocks, each of `letters` filled in as many passes. */
export function denoised(blocks, letters) {
  const events = [];
  for (let block = 0; block < blocks; block += 1) {
    for (let pass = 1; pass <= letters.length; pass += 1) {
      const last = pass === letters.length;
      const tokens = letters.map((text, place) =>
        place < pass ? { id: place, text, state: last ? "committed" : "provisional", prob: 0.5 } : { id: null, text: "░", state: "masked", prob: null },
      );
      const committed = last ? letters.join("") : "";
      const provisional = JSON.stringify({ start: block * letters.length, step: pass, text: tokens.map(({ text }) => text).join(""), tokens, committed });
      const end = last && block === blocks - 1 ? { finish_reason: "stop" } : {};
      events.push({ text_output: committed, provisional, ...(last ? { output_ids: letters.map((_, id) => id) } : {}), ...end });
    }
  }
  return events;
}

// Pictures by upload, as a person adds them, on a server whose first model, a tiny one, reads them.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { ask, compare, equal, generate, images, linked, newChat, origin, python, serious, sighted, SIZES, toView, useBrowser, visit } from "./page.mjs";

useBrowser();
const run = promisify(execFile);
const KEPT = "trimode.playground.chats";
const KNOBS = { max_tokens: "12", end_id: "-1" };
const NOISY = join(images, "noisy.png");
const EXACT = join(images, "exact.png");
const PNG = await readFile(NOISY);
const MIB = 2 ** 20;

const chat = (more = {}) => linked("chat", { mode: "diffusion", pace: 0, knobs: KNOBS, ...more });
const url = (data) => `data:image/png;base64,${data.toString("base64")}`;
const part = (data) => ({ type: "image_url", image_url: { url: url(data) } });
const asked = (text, ...files) => ({ messages: [{ role: "user", content: [...files.map(part), { type: "text", text }] }], max_tokens: 12, end_id: -1 });
const names = (page) => page.locator(".attach img").evaluateAll((found) => found.map((one) => one.title));

/** Let `act` use a folder, with what writes a file there; `bytes` is its size where it is longer than its content. */
async function inFolder(act) {
  const folder = await mkdtemp(join(tmpdir(), "trimode-pictures-"));
  const file = async (name, content, bytes = content.length) => {
    await writeFile(join(folder, name), content);
    await truncate(join(folder, name), bytes); // browsers do not look at what follows a picture
    return join(folder, name);
  };
  try {
    await act(folder, file);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Choose files with the button. */
async function add(page, ...files) {
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.getByRole("button", { name: "Add pictures" }).locator("visible=true").click()]);
  assert.equal(chooser.isMultiple(), true);
  await chooser.setFiles(files);
}

/** Keep the requests for an answer that a page sends. */
function watched(page) {
  const sent = [];
  page.on("request", (request) => request.url().endsWith("/generate_stream") && sent.push(request.postDataJSON()));
  return sent;
}

/** Put files on the page as a paste or a drop does. */
const hand = (page, kind, files) =>
  page.getByLabel("Message").evaluate((field, [kind, files]) => {
    const data = new DataTransfer();
    for (const { name, type, bytes } of files) data.items.add(new File([Uint8Array.from(bytes)], name, { type }));
    const event = kind === "paste" ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }) : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
    return !field.dispatchEvent(event);
  }, [kind, files]);
const pasted = { name: "image.png", type: "image/png", bytes: [...PNG] };

for (const [name, size] of Object.entries(SIZES)) {
  test(`pictures are added and asked about, and the answer is the API's (${name})`, async () => {
    await visit(chat(), async (page) => {
      const sent = watched(page);
      await add(page, NOISY, EXACT);
      await page.getByText("Added noisy.png, exact.png. 2 pictures,").waitFor();
      await equal(() => page.locator(".attach img").evaluateAll((found) => found.map((one) => one.alt)), ["noisy.png", "exact.png"]);
      assert.deepEqual(await serious(page), []);
      const request = asked("tell", PNG, await readFile(EXACT));
      assert.equal(await ask(page, "tell"), (await generate({ ...request, mode: "diffusion" }, sighted)).text_output);
      assert.deepEqual(sent[0].messages, request.messages);
      await equal(() => page.locator(".turn.user img").count(), 2);
      await equal(() => page.locator(".attach img").count(), 0);
      await page.getByText("Autoregressive", { exact: true }).first().click();
      await ask(page, "more");
      assert.deepEqual(sent[1].messages[0], request.messages[0]); // pictures of earlier messages are asked with again
      assert.deepEqual(await serious(page), []);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
      await toView(page, "Steps");
    }, { at: sighted, size });
  });

  test(`pictures are compared in every mode (${name})`, async () => {
    await visit(linked("compare", { prompt: "tell", knobs: KNOBS }), async (page) => {
      await add(page, NOISY);
      await page.getByText("Added noisy.png.").waitFor();
      await compare(page);
      const modes = ["autoregressive", "self_speculation", "diffusion", "auto"];
      const expected = await Promise.all(modes.map(async (mode) => (await generate({ ...asked("tell", PNG), mode }, sighted)).text_output));
      await equal(() => page.locator(".columns .shown").evaluateAll((found) => found.map((one) => one.textContent)), expected);
      assert.deepEqual(await serious(page), []);
      await toView(page, "Steps");
      await equal(() => page.locator(".pictures img").locator("visible=true").count(), 1);
    }, { at: sighted, size });
  });
}

test("what cannot be sent is refused in words, and nothing is sent", () => inFolder((_, file) => visit(chat(), async (page) => {
  const sent = watched(page);
  const gif = Buffer.from("474946383961010001000000002c00000000010001000002024401003b", "hex");
  gif.writeUInt16LE(10000, 6);
  gif.writeUInt16LE(10000, 8);
  for (const [one, words] of [
    [await file("notes.txt", "a"), "notes.txt is no PNG, JPEG, WebP or GIF. Convert it first."],
    [await file("broken.png", "no picture"), "broken.png cannot be read as a picture. It may be damaged"],
    [await file("empty.png", ""), "empty.png cannot be read as a picture."],
    [await file("large.png", PNG, 20 * MIB + MIB), "large.png has 21 MiB; a picture may have 20 MiB."],
    [await file("wide.gif", gif), "wide.gif has 10000 × 10000 pixels; a picture may have 50 million."],
    [await file("body.png", PNG, MIB), "body.png is too large: a request's pictures may have 0.7 MiB together, as --max-body-mib of the server says."],
  ]) {
    await add(page, one);
    await page.getByRole("alert").filter({ hasText: words }).waitFor();
    assert.deepEqual(await names(page), []);
  }
  assert.deepEqual(await serious(page), []);
  await add(page, NOISY, await file("notes.txt", "a"), EXACT, NOISY, NOISY);
  await page.getByText("noisy.png is one too many: a request may have 3 pictures. Take one out first.").waitFor();
  await equal(() => page.getByRole("alert").locator("p").count(), 2);
  await equal(() => names(page), ["noisy.png", "exact.png", "noisy-2.png"]);
  await ask(page, "tell");
  assert.equal(await page.getByRole("alert").count(), 0);
  await add(page, NOISY);
  await page.getByText("a request may have 3 pictures, and earlier messages have 3. Begin a new chat").waitFor();
  assert.equal(sent.length, 1);
}, { at: sighted })));

test("pictures are added and taken out with the keyboard", async () => {
  await visit(chat(), async (page) => {
    const focused = () => page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent);
    await page.getByLabel("Message").focus();
    const chosen = page.waitForEvent("filechooser");
    await page.keyboard.press("Tab");
    await equal(focused, "Add pictures");
    await page.keyboard.press("Enter");
    await (await chosen).setFiles([NOISY, EXACT]);
    await page.getByText("2 pictures").waitFor();
    await page.keyboard.press("Tab");
    await equal(focused, "Remove noisy.png");
    await page.keyboard.press("Enter");
    await page.getByRole("status").filter({ hasText: "Removed noisy.png. 1 picture" }).waitFor();
    await equal(focused, "Remove exact.png");
    await page.keyboard.press("Space");
    await page.getByRole("status").filter({ hasText: /^Removed exact.png.$/ }).waitFor();
    await equal(focused, "Add pictures");
    await equal(() => names(page), []);
  }, { at: sighted });
});

test("pictures are pasted and dropped, each with a name of its own", async () => {
  await visit(chat(), async (page) => {
    assert.equal(await hand(page, "paste", [pasted]), true);
    await page.getByText("Added image.png.").waitFor();
    assert.equal(await hand(page, "drop", [pasted]), true);
    await page.getByText("Added image-2.png.").waitFor();
    await equal(() => names(page), ["image.png", "image-2.png"]);
    await page.getByRole("button", { name: "Send", exact: true }).click(); // without a text
    await page.locator(".figures").waitFor();
    await newChat(page);
    await equal(() => page.locator(".pictures").count(), 0);
    await equal(() => page.getByRole("status").textContent(), "");
  }, { at: sighted });
});

test("a refused request keeps its pictures, and asks again with them", async () => {
  await visit(chat({ knobs: { ...KNOBS, max_tokens: "0" } }), async (page) => {
    const sent = watched(page);
    await add(page, NOISY);
    await page.getByText("Added noisy.png.").waitFor();
    await page.getByLabel("Message").fill("tell");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").filter({ hasText: "max_tokens" }).waitFor();
    await page.locator("summary").filter({ hasText: /^Knobs/ }).click();
    await page.getByLabel("max_tokens").fill("12");
    await page.getByRole("button", { name: "Ask again" }).click();
    await page.locator(".figures").filter({ hasText: "12 tokens" }).waitFor();
    assert.equal(sent.length, 2);
    assert.deepEqual(sent[1].messages, sent[0].messages);
  }, { at: sighted, errors: ["Failed to load resource"] });
});

test("the command and the program that are shown read the file, and get the same answer", () => inFolder(async (folder) => {
  const name = "it's \"a\" $HOME.png";
  await cp(NOISY, join(folder, name));
  const question = 'say `ls` $HOME \\ "PICTURE0" \'';
  const { text_output } = await generate({ ...asked(question, PNG), mode: "autoregressive" }, sighted);
  await visit(chat({ mode: "autoregressive" }), async (page) => {
    await add(page, join(folder, name));
    await page.getByText("1 picture,").waitFor();
    await page.getByLabel("Message").fill(question);
    await page.getByText("As code", { exact: true }).first().click();
    const command = await page.locator("pre.code").textContent();
    assert.match(command, /^# Run this in the folder that has "it's/);
    const events = (await run("sh", ["-c", command], { cwd: folder })).stdout.split("\n").filter((line) => line.startsWith("data: "));
    assert.equal(events.map((line) => JSON.parse(line.slice(6)).text_output ?? "").join(""), text_output);
    await page.getByText("Python", { exact: true }).first().click();
    const program = await page.locator("pre.code").filter({ hasText: "import httpx" }).textContent();
    assert.equal((await run(python, ["-c", program], { cwd: folder })).stdout, `${text_output}\n`);
  }, { at: sighted });
}));

test("pictures are in no link and not kept in the browser, which the page says", async () => {
  const took = () => navigator.clipboard && (navigator.clipboard.writeText = async (text) => (globalThis.copied = text));
  await visit(chat(), async (page) => {
    await add(page, NOISY);
    await page.getByText("1 picture, kept neither in this browser nor in links.").waitFor();
    await ask(page, "tell");
    await page.getByRole("button", { name: "Copy link" }).click();
    const link = await page.waitForFunction(() => globalThis.copied).then((found) => found.jsonValue());
    assert.ok(link.length < 1000 && !link.includes("iVBOR"));
    const [stored] = await page.evaluate((key) => JSON.parse(localStorage.getItem(key)), KEPT);
    assert.deepEqual(stored.messages[0], { role: "user", content: "tell", missing: 1 });
    const words = page.getByText("1 picture went with this message.");
    await page.goto("about:blank");
    await page.goto(link);
    await words.waitFor();
    assert.equal(await page.locator("main img").count(), 0);
    await newChat(page);
    await page.getByText("Chats kept in this browser").click();
    await page.locator(".chats").getByRole("button", { name: "tell", exact: true }).first().click();
    await words.waitFor();
    const sent = watched(page);
    await ask(page, "more");
    assert.equal(sent[0].messages[0].content, "tell");
    assert.deepEqual(await serious(page), []);
    await page.evaluate(() => localStorage.clear());
  }, { at: sighted, init: took });
});

test("a model of text alone is offered no pictures, and a picture that is pasted is left to the browser", async () => {
  await visit("", async (page) => {
    await page.getByLabel("Message").waitFor();
    assert.equal(await page.getByRole("button", { name: "Add pictures" }).count(), 0);
    assert.equal(await page.locator("input[type=file]").count(), 0);
    assert.equal(await hand(page, "paste", [pasted]), false);
    await toView(page, "Compare");
    assert.equal(await page.locator("input[type=file]").count(), 0);
  }, { at: origin });
});

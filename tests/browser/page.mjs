// What the tests share: a browser, a page that is held to what must never happen, and questions to the server itself.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { chromium } from "playwright-core";

export const { origin, locked, sighted, second, key, images, python } = JSON.parse(process.env.GIVEN);
export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };
export const SIZES = { desktop: DESKTOP, phone: PHONE };
export const FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split(" ");
export const RECORD = "Turn this into JSON: Anna Rossi is 24 years old, lives in Lima and works as a sailor.";
const MODEL = "nemotron_diffusion";
const PATIENCE = 60_000; // milliseconds; the machine may be busy
const OF_VIEWS = { Chat: "#chat-prompt", Compare: "#compare-prompt", "Fill in": "#fill-text", Revise: "#revise-text", Steps: "h2:text-is('Step by step')" };
const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser;
let profile;

/** Start one browser for a file's tests, with an empty profile. */
export function useBrowser() {
  before(async () => {
    profile = await mkdtemp(join(tmpdir(), "trimode-browser-"));
    browser = await chromium.launchPersistentContext(profile, { executablePath: process.env.CHROMIUM, headless: true, args: FLAGS, viewport: DESKTOP, timeout: PATIENCE });
  });
  after(async () => {
    await browser?.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  });
}

/** Open a page, let `act` use it, and fail on a violation of the policy, an error in the console or a foreign request. */
export async function visit(path, act, { size = DESKTOP, at = origin, init = null, media = {}, errors = [] } = {}) {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  await page.setViewportSize(size);
  await page.emulateMedia(media);
  const wrong = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !errors.some((known) => message.text().includes(known))) wrong.push(message.text());
  });
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(at) && !request.url().startsWith("data:")) wrong.push(`asked ${request.url()}`);
  });
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  if (init) await page.addInitScript(init);
  try {
    await page.goto(`${at}/playground/${path}`);
    await act(page);
    assert.deepEqual(wrong, []);
  } finally {
    await page.close();
  }
}

/** Return the end of an address that opens a view with a state. */
export const linked = (view, state) => `#${view}/${Buffer.from(JSON.stringify(state)).toString("base64url")}`;

/** Open the end of an address in a page that is there, as its reader would, and wait until the page has read it. */
export async function opened(page, view) {
  await page.evaluate(() => {
    globalThis.read = false;
    addEventListener("hashchange", () => setTimeout(() => (globalThis.read = true)), { once: true }); // after the page's own listeners
  });
  await page.goto(page.url().replace(/#.*|$/, view));
  await page.waitForFunction(() => globalThis.read);
}

/** Go to a view by its link, and wait until it is the one that is shown. */
export async function toView(page, name) {
  await page.getByRole("link", { name, exact: true }).click();
  await page.locator(OF_VIEWS[name]).waitFor();
}

/** Begin a new chat, and wait until it is there. */
export async function newChat(page) {
  await page.getByRole("button", { name: "New chat" }).click();
  await page.locator(".welcome").waitFor();
}

/** Compare, and wait until all four modes have answered; the last frame may still be drawn. */
export async function compare(page) {
  await page.getByRole("button", { name: "Compare" }).click();
  await page.locator(".columns article").nth(3).waitFor();
  await page.getByRole("button", { name: "Compare" }).waitFor();
}

/** Return a script of a page that watches for what may be there for a moment alone; `globalThis.seen` is whether it was. */
export const watchingFor = (check) => `
  new MutationObserver(() => (globalThis.seen ||= Boolean((${check})())))
    .observe(document, { subtree: true, childList: true, characterData: true, attributes: true })`;

/** Ask in the chat, and wait until the answer is there; return its text as the page has it. */
export async function ask(page, question) {
  const before = await page.locator(".turn.model .figures").count();
  await page.getByLabel("Message").fill(question);
  await page.keyboard.press("Enter");
  await page.locator(".turn.model .figures").nth(before).waitFor();
  await page.getByRole("button", { name: "Send", exact: true }).waitFor();
  return page.locator(".turn.model .shown").last().evaluate((node) => node.textContent);
}

/** Return what axe finds seriously wrong for who cannot see the page. */
export async function serious(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes[0].html} ${nodes[0].failureSummary}`);
}

/** Ask the server itself. */
export async function generate(request, at = origin, model = MODEL) {
  const answer = await fetch(`${at}/v2/models/${model}/generate`, { method: "POST", body: JSON.stringify(request) });
  return answer.json();
}

/** Return a metric of a server, summed over the labels that are not given. */
export async function metric(name, labels = "", at = origin) {
  const text = await (await fetch(`${at}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`) && line.includes(labels));
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

/** Wait until `check` returns what is not false. */
export async function until(check, what) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const found = await check();
    if (found) return found;
    assert.ok(Date.now() < deadline, `waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Repeat a check until its assertions hold; one that never does fails as it did last. */
export async function settled(check) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (!(error instanceof assert.AssertionError) || Date.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Wait until what `read` returns is what is expected. */
export const equal = (read, expected, message) => settled(async () => assert.deepEqual(await read(), expected, message));

/** Wait until what `read` returns matches. */
export const match = (read, pattern) => settled(async () => assert.match(await read(), pattern));

/** Answer the page's requests for an answer with these events, as a server would. */
export async function answerWith(page, events, verb = "generate_stream") {
  const body = verb === "generate_stream" ? events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("") : JSON.stringify(events);
  const contentType = verb === "generate_stream" ? "text/event-stream" : "application/json";
  await page.route(`**/v2/models/${MODEL}/${verb}`, (route) => route.fulfill({ status: 200, contentType, body }));
}

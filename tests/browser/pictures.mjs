// Takes the pictures of the documentation: `node pictures.mjs FOLDER ADDRESS`. scripts/playground_pictures.py starts it.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [, , folder, address] = process.argv;
const FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split(" ");
const PATIENCE = 120_000; // milliseconds; the machine may be busy
const RECORD = "Turn this into JSON: Anna Rossi is 24 years old, lives in Lima and works as a sailor.";
const SEEN = { denoise_steps: "8", reveal: "steps" };
const link = (view, state) => `${address}/playground/#${view}/${Buffer.from(JSON.stringify(state)).toString("base64url")}`;
const chat = (more = {}) => link("chat", { mode: "diffusion", pace: 600, knobs: SEEN, written: RECORD, messages: [], ...more });

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS, timeout: PATIENCE });

async function open(url, size, colours = "light") {
  const page = await browser.newPage({ viewport: size, colorScheme: colours, deviceScaleFactor: 1 });
  page.setDefaultTimeout(PATIENCE);
  await page.goto(url);
  return page;
}

const send = (page) => page.getByLabel("Message").press("Enter");
const answered = (page) => page.getByRole("button", { name: "Send", exact: true }).waitFor();
const save = (page, name, more = {}) => page.screenshot({ path: join(folder, name), ...more });

// The recording: a picture of each step, without those that are the same.
let page = await open(chat(), { width: 1060, height: 560 });
await page.getByLabel("Message").waitFor();
let last = await page.screenshot();
const frames = [last];
await send(page);
for (let done = false; !done; ) {
  done = (await page.getByRole("button", { name: "Send", exact: true }).count()) > 0;
  const frame = await page.screenshot();
  if (!frame.equals(last)) frames.push((last = frame));
}
await Promise.all(frames.map((frame, index) => writeFile(join(folder, `frame-${String(index).padStart(3, "0")}.png`), frame)));
await page.close();

page = await open(chat(), { width: 1200, height: 680 });
await send(page);
await page.waitForFunction(() => /block at 0, pass 5:/.test(document.querySelector(".strip")?.textContent));
await save(page, "playground-chat.png");
await answered(page);
await page.getByText("Look at the steps").click();
await page.getByRole("slider").fill("4");
await save(page, "playground-steps.png", { fullPage: true });
await page.close();

page = await open(`${address}/playground/#compare`, { width: 1200, height: 620 });
await page.getByRole("button", { name: "Compare" }).click();
await page.getByRole("button", { name: "Stop" }).waitFor();
await page.getByRole("button", { name: "Compare" }).waitFor();
await save(page, "playground-compare.png");
await page.close();

page = await open(`${address}/playground/#fill`, { width: 1200, height: 1040 });
await page.getByRole("button", { name: /^Fill/ }).click();
await page.locator("ins.filled").first().waitFor();
await save(page, "playground-fill.png");
await page.close();

page = await open(`${address}/playground/#revise`, { width: 1200, height: 760 });
await page.getByRole("button", { name: /^Revise/ }).click();
await page.locator(".edit ins").waitFor();
await save(page, "playground-revise.png");
await page.close();

page = await open(chat({ pace: 150 }), { width: 390, height: 760 }, "dark");
await send(page);
await page.waitForFunction(() => /block at 0, pass 6:/.test(document.querySelector(".strip")?.textContent));
await save(page, "playground-phone.png");
await browser.close();

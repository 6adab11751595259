// The chat, used as a person would, at both widths.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, equal, generate, linked, match, metric, newChat, opened, RECORD, SIZES, until, useBrowser, visit, watchingFor } from "./page.mjs";

useBrowser();
const KEPT = "trimode.playground.chats";
const LONG = linked("chat", { mode: "autoregressive", pace: 0, knobs: { end_id: "-1", max_tokens: "1800" } });
const asked = (content, more = {}) => ({ messages: [{ role: "user", content }], mode: "diffusion", ...more });

const denoising = () => [".tail .token.masked", ".strip .cell"].every((one) => document.querySelector(one)?.checkVisibility());
const verifying = () => document.querySelector(".strip .cell.accepted") && /verified: \d+ of \d+ drafted tokens kept/.test(document.querySelector(".strip").textContent);

/** Wait until the turns have these texts, which the next frames must leave as they are. */
async function turnsAre(page, expected) {
  const texts = () => page.locator(".turn .shown").allTextContents();
  await equal(texts, expected);
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  assert.deepEqual(await texts(), expected);
}

for (const [name, size] of Object.entries(SIZES)) {
  test(`the printed link shows a block being denoised, then the answer (${name})`, async () => {
    await visit("#example", async (page) => {
      await page.waitForFunction(() => globalThis.seen);
      await page.getByRole("button", { name: "Send", exact: true }).waitFor();
      const { text_output } = await generate(asked(RECORD, { denoise_steps: 8, reveal: "steps" }));
      await equal(() => page.locator(".turn.model .shown").evaluate((node) => node.textContent), text_output);
      await match(() => page.url(), /#chat$/);
    }, { size, init: watchingFor(denoising) });
  });

  test(`a conversation goes on, and each answer has its figures (${name})`, async () => {
    await visit("", async (page) => {
      const first = await ask(page, "What is 17 + 25?");
      assert.equal(first, (await generate(asked("What is 17 + 25?"))).text_output);
      await match(() => page.locator(".figures").textContent(), /Diffusion.*46 tokens.*passes.*tokens a pass/s);
      await ask(page, "What is 23 + 2221?");
      await equal(() => page.locator(".turn").count(), 4);
      const above = (prompt) => [...document.querySelectorAll(".figures")].at(-1).getBoundingClientRect().bottom <= Math.min(prompt.getBoundingClientRect().top + 1, innerHeight);
      await equal(() => page.locator(".prompt").evaluate(above), true, "the page scrolled along");
      await newChat(page);
      await equal(() => page.locator(".turn").count(), 0);
    }, { size });
  });
}

test("other modes show drafts and what their verification kept", async () => {
  await visit("", async (page) => {
    await page.getByText("Self-speculation", { exact: true }).first().click();
    await page.getByText("slow", { exact: true }).first().click();
    await page.getByLabel("Message").fill("What is 17 + 25?");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => globalThis.seen);
    await page.getByRole("button", { name: "Send", exact: true }).waitFor();
    await match(() => page.locator(".figures").textContent(), /drafted tokens kept/);
    await page.getByText("Autoregressive", { exact: true }).first().click();
    await ask(page, "What is 17 + 25?");
    await match(() => page.locator(".figures").last().textContent(), /Autoregressive.*tokens/s);
  }, { init: watchingFor(verifying) });
});

test("a pass that verifies a draft and makes the next one is shown as both", async () => {
  const link = Buffer.from(JSON.stringify({ mode: "self_speculation", pace: 0, knobs: { speculation: "quadratic", block_length: "8" } })).toString("base64url");
  await visit(`#chat/${link}`, async (page) => {
    assert.match(await ask(page, "What is 17 + 25?"), /Answer: 42$/);
    await page.getByText("Look at the steps").click();
    const slider = page.getByRole("slider", { name: "Step" });
    await slider.press("ArrowRight");
    await match(() => slider.getAttribute("aria-valuetext"), /^Step 2 of \d+, verification: \d+ of 7 drafted tokens kept/);
    await slider.press("ArrowRight");
    await match(() => slider.getAttribute("aria-valuetext"), /^Step 3 of \d+, pass \d over the block/);
  });
});

test("stop ends the request on the server, and what came stays", async () => {
  const link = Buffer.from(JSON.stringify({ mode: "autoregressive", knobs: { end_id: "-1", max_tokens: "1800" }, messages: [] })).toString("base64url");
  for (const way of ["button", "Escape"]) {
    await until(async () => (await metric("trimode_requests_running")) === 0, "nothing runs");
    const before = await metric("trimode_requests_total", 'outcome="cancelled"');
    await visit(`#chat/${link}`, async (page) => {
      await page.getByLabel("Message").fill("What is 17 + 25?");
      await page.keyboard.press("Enter");
      await page.locator(".turn.model .shown").filter({ hasText: "17" }).waitFor();
      if (way === "button") await page.getByRole("button", { name: "Stop" }).click();
      else await page.getByLabel("Message").press("Escape");
      await page.locator(".figures").filter({ hasText: "stopped" }).waitFor();
      await until(async () => (await metric("trimode_requests_total", 'outcome="cancelled"')) === before + 1, "it is cancelled");
      await until(async () => (await metric("trimode_requests_running")) === 0, "nothing runs");
      await match(() => page.locator(".turn.model .shown").textContent(), /^17/);
    });
  }
});

test("knobs come from the server's table, and are asked for", async () => {
  await visit("", async (page) => {
    await page.getByText("Knobs", { exact: true }).first().click();
    await page.getByLabel("max_tokens").fill("0");
    await match(() => page.locator("#chat-max_tokens-help").textContent(), /must be from 1 to/);
    await page.getByLabel("max_tokens").fill("8");
    await ask(page, "What is 17 + 25?");
    await match(() => page.locator(".figures").textContent(), /8 tokens.*cut at max_tokens/s);
    await page.getByText("As code", { exact: true }).first().click();
    await match(() => page.locator("pre.code").textContent(), /curl -sN http.*"max_tokens": 8/s);
    await page.getByText("Python", { exact: true }).first().click();
    await match(() => page.locator("pre.code").textContent(), /import httpx.*"max_tokens": 8/s);
  });
});

test("an answer can be held to a form", async () => {
  await visit("", async (page) => {
    await page.getByText("Form of the answer", { exact: true }).first().click();
    await page.getByLabel("The answer is").selectOption("json_schema");
    await page.getByLabel("JSON by a schema").fill("{");
    await match(() => page.locator("#chat-form-problem").textContent(), /no JSON yet/);
    await page.getByLabel("JSON by a schema").fill('{"type": "object", "properties": {}, "additionalProperties": false}');
    await page.getByLabel("Property").fill("name");
    await page.getByRole("button", { name: "Add" }).click();
    await match(() => page.getByLabel("JSON by a schema").inputValue(), /"required": \[\s*"name"/);
    const found = JSON.parse(await ask(page, RECORD));
    assert.deepEqual(Object.keys(found), ["name"]);
  });
});

test("a refusal says what is wrong and what to do", async () => {
  const errors = ["Failed to load resource"];
  await visit("", async (page) => {
    await page.getByText("Knobs", { exact: true }).first().click();
    await page.getByLabel("max_tokens").fill("0");
    await page.getByLabel("Message").fill("What is 17 + 25?");
    await page.getByLabel("Message").press("Enter");
    const alert = page.getByRole("alert");
    await match(() => alert.textContent(), /max_tokens must be .*got 0.*Correct the field.*invalid_value/s);
    await page.getByLabel("max_tokens").fill("16");
    await page.getByRole("button", { name: "Ask again" }).click();
    await page.locator(".figures").filter({ hasText: "16 tokens" }).waitFor();
  }, { errors });
});

test("chats are kept in this browser until they are cleared", async () => {
  await visit("", async (page) => {
    await ask(page, "What is 17 + 25?");
    await page.reload();
    await page.getByText("Chats kept in this browser").click();
    await page.locator(".chats").getByRole("button", { name: "What is 17 + 25?", exact: true }).first().click();
    await equal(() => page.locator(".turn").count(), 2);
    await page.getByRole("button", { name: "Clear all" }).click();
    await page.getByText("None yet.").waitFor();
    await equal(() => page.evaluate((name) => localStorage.getItem(name), KEPT), null);
  });
});

/** Ask what is answered at length, and return once the answer has begun. */
async function askAtLength(page, question) {
  await page.getByLabel("Message").fill(question);
  await page.keyboard.press("Enter");
  await page.locator(".turn.model .shown").last().filter({ hasText: /\S/ }).waitFor();
}

test("a kept chat that is opened while another answer comes keeps what it has", async () => {
  await visit("", async (page) => {
    const answer = await ask(page, "What is 17 + 25?");
    await opened(page, LONG);
    await askAtLength(page, "What is 23 + 2221?");
    await page.getByText("Chats kept in this browser").click();
    await page.locator(".chats").getByRole("button", { name: "What is 17 + 25?", exact: true }).click();
    await page.getByRole("button", { name: "Send", exact: true }).waitFor();
    await turnsAre(page, ["What is 17 + 25?", answer]);
    assert.equal(await page.locator(".figures").count(), 0);
    await page.locator("summary").filter({ hasText: /^Knobs/ }).click();
    await page.getByRole("button", { name: "Set all to their defaults" }).click();
    await ask(page, "What is 1 + 2?");
    const chats = () => page.evaluate((name) => JSON.parse(localStorage.getItem(name)), KEPT);
    const questions = async () => (await chats()).map(({ messages }) => messages.filter(({ role }) => role === "user").map(({ content }) => content));
    await equal(questions, [["What is 17 + 25?", "What is 1 + 2?"], ["What is 23 + 2221?"]]);
    await page.evaluate(() => localStorage.clear());
  });
});

test("a link that is opened while an answer comes shows what is in the link", async () => {
  await visit(LONG, async (page) => {
    await askAtLength(page, "What is 17 + 25?");
    const messages = [{ role: "user", content: "two" }, { role: "assistant", content: "three" }];
    await opened(page, linked("chat", { messages }));
    await page.getByRole("button", { name: "Send", exact: true }).waitFor();
    await turnsAre(page, ["two", "three"]);
    await page.evaluate(() => localStorage.clear());
  });
});

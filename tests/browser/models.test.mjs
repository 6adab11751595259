// A choice of model, as a person makes it, on a server of eye, a tiny model that reads pictures, and of nano.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { ask, compare, equal, generate, images, linked, match, metric, newChat, opened, origin, second, serious, sighted, SIZES, toView, until, useBrowser, visit } from "./page.mjs";

useBrowser();
const QUESTION = "What is 17 + 25?";
const SHORT = { max_tokens: "12", end_id: "-1" };
const LONG = { max_tokens: "1800", end_id: "-1" };
const chat = (more = {}) => linked("chat", { mode: "diffusion", pace: 0, knobs: SHORT, ...more });
const choice = (page) => page.getByLabel("Model", { exact: true });
const alert = (page) => page.getByRole("alert");
const said = (content, more = {}) => ({ messages: [{ role: "user", content }], max_tokens: 12, end_id: -1, mode: "diffusion", ...more });
const chosen = (page, name) => equal(() => choice(page).inputValue(), name);

/** Use a page of the server of two models, in which nothing is kept. */
const visitBoth = (path, act, more = {}) =>
  visit(path, async (page) => {
    await choice(page).waitFor();
    await act(page);
    await page.evaluate(() => localStorage.clear());
  }, { at: sighted, ...more });

/** Keep the models that a page asks for an answer, and what it asks. */
function watched(page) {
  const sent = [];
  page.on("request", (request) => {
    const [, model] = /models\/([^/]*)\/generate(_stream)?$/.exec(request.url()) ?? [];
    if (model) sent.push({ model, ...request.postDataJSON() });
  });
  return sent;
}

const copying = () => navigator.clipboard && (navigator.clipboard.writeText = async (text) => (globalThis.copied = text));
async function copied(page) {
  await page.evaluate(() => delete globalThis.copied);
  await page.getByRole("button", { name: "Copy link" }).locator("visible=true").click();
  return (await page.waitForFunction(() => globalThis.copied)).jsonValue();
}
const partsOf = (link) => JSON.parse(Buffer.from(link.split("/").at(-1), "base64url"));

for (const [name, size] of Object.entries(SIZES)) {
  test(`each model answers in the chat, and what is chosen with the keyboard is kept (${name})`, async () => {
    await visitBoth(chat(), async (page) => {
      await equal(() => choice(page).locator("option").allTextContents(), ["eye", "nano"]);
      await chosen(page, "eye");
      await equal(() => page.getByRole("button", { name: "Add pictures" }).count(), 1);
      assert.equal(await ask(page, QUESTION), (await generate(said(QUESTION), sighted)).text_output);
      await newChat(page);
      await choice(page).focus();
      await page.keyboard.press("ArrowDown");
      await page.waitForFunction(() => !document.querySelector(".attach"));
      await chosen(page, "nano");
      assert.equal(await ask(page, QUESTION), (await generate(said(QUESTION), sighted, "nano")).text_output);
      await match(() => page.locator(".figures").textContent(), /Diffusion\s*nano\s*12 tokens/);
      await page.getByText("As code", { exact: true }).click();
      await match(() => page.locator("pre.code").textContent(), /\/v2\/models\/nano\/generate_stream/);
      assert.deepEqual(await serious(page), []);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
      await page.getByText("Look at the steps").click();
      await page.getByText(/^Diffusion of nano, pass 1/).waitFor();
      await page.reload();
      await chosen(page, "nano");
    }, { size });
  });

  test(`a comparison is of the model that was chosen, and ends with another choice (${name})`, async () => {
    await visitBoth(linked("compare", { prompt: QUESTION, knobs: SHORT }), async (page) => {
      await choice(page).selectOption("nano");
      await compare(page);
      const modes = ["autoregressive", "self_speculation", "diffusion", "auto"];
      const expected = await Promise.all(modes.map(async (mode) => (await generate(said(QUESTION, { mode }), sighted, "nano")).text_output));
      await equal(() => page.locator(".columns .shown").evaluateAll((found) => found.map((one) => one.textContent)), expected);
      assert.deepEqual(await serious(page), []);
      await opened(page, linked("compare", { prompt: QUESTION, knobs: LONG }));
      const sent = watched(page);
      await page.getByRole("button", { name: "Compare" }).click();
      await page.locator(".columns .shown").first().filter({ hasText: /\S/ }).waitFor();
      await choice(page).selectOption("eye");
      await page.getByRole("button", { name: "Compare" }).waitFor();
      await equal(() => page.locator(".columns .shown").count(), 0);
      await until(async () => (await metric("trimode_requests_running", "", sighted)) === 0, "nothing runs");
      assert.deepEqual(sent.map(({ model, mode }) => [model, mode]), [["nano", "autoregressive"]]);
      await equal(() => page.getByLabel("Prompt").inputValue(), QUESTION);
    }, { size });
  });
}

test("another choice ends the answer that comes, which stays as it is, and keeps the focus", async () => {
  await visitBoth(chat({ mode: "autoregressive", knobs: LONG, model: "nano" }), async (page) => {
    const sent = watched(page);
    await page.getByLabel("Message").fill(QUESTION);
    await page.keyboard.press("Enter");
    await page.locator(".turn.model .shown").filter({ hasText: /\S/ }).waitFor();
    await choice(page).focus();
    await page.keyboard.press("ArrowUp");
    await page.locator(".figures").filter({ hasText: /nano.*stopped/s }).waitFor();
    await page.getByRole("button", { name: "Send", exact: true }).waitFor();
    await until(async () => (await metric("trimode_requests_running", "", sighted)) === 0, "nothing runs");
    await equal(() => page.evaluate(() => document.activeElement.tagName), "SELECT");
    await equal(() => page.getByLabel("Autoregressive", { exact: true }).isChecked(), true);
    await page.locator("summary").filter({ hasText: /^Knobs/ }).click();
    await page.getByLabel("max_tokens").fill("8"); // what was set stays set
    await ask(page, "more");
    await equal(() => page.locator(".figures").allTextContents().then((all) => all.map((one) => /nano|eye/.exec(one)?.[0])), ["nano", "eye"]);
    assert.deepEqual(sent.map(({ model }) => model), ["nano", "nemotron_diffusion"]);
    assert.equal(sent[1].messages.length, 3);
  });
});

test("another choice ends what is filled in or revised, and leaves nothing of it under its name", async () => {
  for (const [view, made] of [["fill", "ins.filled"], ["revise", "article .shown"]]) {
    await visitBoth(linked(view, { text: "17 + [[fill:2]] = 42", instruction: "", knobs: {}, model: "nano" }), async (page) => {
      const sent = watched(page);
      const again = page.getByRole("button", { name: /^(Fill the gap|Revise what looks unlikely)$/ });
      await again.click();
      await page.locator(made).first().waitFor();
      await choice(page).selectOption("eye");
      await page.locator(made).first().waitFor({ state: "detached" });
      await page.route("**/generate", () => {}); // no answer comes
      await again.click();
      await page.getByRole("button", { name: "Stop" }).waitFor();
      await until(() => sent.length === 2, "it is asked");
      await choice(page).selectOption("nano");
      await again.waitFor();
      assert.deepEqual(sent.map(({ model }) => model), ["nano", "nemotron_diffusion"]);
    });
  }
});

test("pictures wait for a model that reads them, which the page says", async () => {
  await visitBoth(chat(), async (page) => {
    const sent = watched(page);
    await page.locator(".attach input").setInputFiles(join(images, "noisy.png"));
    await page.getByText("Added noisy.png.").waitFor();
    await choice(page).selectOption("nano");
    await page.getByText("nano reads text alone. It is asked without the pictures").waitFor();
    await equal(() => page.locator("input[type=file]").count(), 0);
    assert.deepEqual(await serious(page), []);
    await ask(page, "tell");
    assert.deepEqual(sent[0].messages, [{ role: "user", content: "tell" }]);
    await choice(page).selectOption("eye");
    await equal(() => page.locator(".attach img").count(), 1);
    await ask(page, "more");
    assert.equal(sent[1].messages.at(-1).content.length, 2);
    await choice(page).selectOption("nano");
    await ask(page, "again"); // without the pictures of earlier messages too
    assert.deepEqual(sent[2].messages.filter(({ role }) => role === "user").map(({ content }) => content), ["tell", "more", "again"]);
  });
});

test("modes and knobs are those of the model that is asked", async () => {
  await visitBoth("", async (page) => {
    await page.route("**/v1/models", async (route) => {
      const listed = await (await route.fetch()).json();
      const data = listed.data.filter(({ id }) => !["nano:diffusion", "nano:self_speculation"].includes(id));
      await route.fulfill({ json: { ...listed, data } });
    });
    await page.reload();
    await choice(page).selectOption("nano");
    await page.getByText("This checkpoint was not trained to denoise.").waitFor();
    await equal(() => page.getByLabel("Diffusion", { exact: true }).isDisabled(), true);
    await equal(() => page.getByLabel("Auto", { exact: true }).isChecked(), true);
    await page.locator("summary").filter({ hasText: /^Knobs 4 set$/ }).waitFor();
    for (const view of ["Fill in", "Revise"]) {
      await toView(page, view);
      await page.getByText("Choose another model, such as eye.").locator("visible=true").waitFor();
    }
    await toView(page, "Compare");
    await equal(() => page.locator("tbody tr").count(), 2);
    await toView(page, "Chat");
    await choice(page).selectOption("eye");
    await equal(() => page.getByLabel("Diffusion", { exact: true }).isChecked(), true);
    await page.locator("summary").filter({ hasText: /^Knobs$/ }).locator("visible=true").waitFor();
  });
});

test("a link has the model, and one that is not served is said not to be", async () => {
  await visitBoth(linked("chat", { written: "one", model: "nano" }), async (page) => {
    await chosen(page, "nano");
    for (const view of ["chat", "compare", "fill", "revise"]) {
      await opened(page, `#${view}`);
      assert.equal(partsOf(await copied(page)).model, "nano", view);
    }
    await opened(page, linked("compare", { prompt: "two", model: "eye" }));
    await chosen(page, "eye");
    await equal(() => page.getByLabel("Prompt").inputValue(), "two");
    await choice(page).selectOption("nano");
    await opened(page, linked("chat", { written: "three", model: "none <b>of</b> these" }));
    await alert(page).getByText("This server does not have the model none <b>of</b> these. eye is asked in its place.").waitFor();
    await chosen(page, "eye");
    await equal(() => page.getByLabel("Message").inputValue(), "three");
    assert.deepEqual(await serious(page), []);
    await toView(page, "Compare");
    await alert(page).waitFor({ state: "detached" });
    for (const model of [5, null, ["nano"], ""]) {
      await opened(page, linked("chat", { written: String(model), model }));
      await equal(() => page.getByLabel("Message").inputValue(), String(model));
      assert.equal(await alert(page).count(), 0);
    }
  }, { init: copying });
});

test("a kept chat is gone on with by its model", async () => {
  await visitBoth(chat({ model: "nano" }), async (page) => {
    await ask(page, QUESTION);
    await newChat(page);
    await choice(page).selectOption("eye");
    await page.getByText("Chats kept in this browser").click();
    const open = () => page.locator(".chats").getByRole("button", { name: QUESTION, exact: true }).first().click();
    await open();
    await chosen(page, "nano");
    await equal(() => page.locator(".turn").count(), 2);
    await page.evaluate(() => localStorage.setItem("trimode.playground.chats", localStorage.getItem("trimode.playground.chats").replace('"model":"nano"', '"model":"gone"')));
    await page.reload();
    await page.getByText("Chats kept in this browser").click();
    await open();
    await alert(page).getByText("This server does not have the model gone. eye is asked in its place.").waitFor();
    await equal(() => page.locator(".turn").count(), 2);
  });
});

test("a server of one model offers no choice, and names it in no link", async () => {
  await visit("", async (page) => {
    await equal(() => page.locator("header .served").textContent(), "nano");
    assert.equal(await page.locator("header select").count(), 0);
    assert.equal("model" in partsOf(await copied(page)), false);
    await ask(page, QUESTION);
    assert.doesNotMatch(await page.locator(".figures").textContent(), /nano/);
    const [stored] = await page.evaluate(() => JSON.parse(localStorage.getItem("trimode.playground.chats")));
    assert.equal("model" in stored, false);
    await opened(page, linked("chat", { written: "one", model: "eye" }));
    await alert(page).getByText("This server does not have the model eye. nano is asked in its place.").waitFor();
    await page.evaluate(() => localStorage.clear());
  }, { at: origin, init: copying });
});

test("a model that is away is said to be starting, while the other one answers", async () => {
  const errors = ["Failed to load resource"];
  await visitBoth(chat({ model: "nano" }), async (page) => {
    await page.route("**/models/nano/generate_stream", async (route) => {
      process.kill(second, "SIGKILL"); // now, as it is soon there again
      await until(async () => !(await fetch(`${sighted}/v2/models/nano/ready`)).ok, "it is away");
      await route.continue();
    }, { times: 1 });
    await page.getByLabel("Message").fill(QUESTION);
    await page.keyboard.press("Enter");
    await alert(page).filter({ hasText: /the server is starting, try again.*unavailable \(HTTP 503\)/s }).waitFor();
    await choice(page).selectOption("eye");
    await page.getByRole("button", { name: "Ask again" }).click();
    await page.locator(".figures").filter({ hasText: /eye\s*12 tokens/ }).waitFor();
    await choice(page).selectOption("nano");
    await until(async () => (await fetch(`${sighted}/v2/models/nano/ready`)).ok, "it is there again");
    await newChat(page);
    assert.equal(await ask(page, QUESTION), (await generate(said(QUESTION), sighted, "nano")).text_output);
  }, { errors });
});

// Manners: accessible in every view, exact to the byte, drawn at most once a frame, held to its own server.
import assert from "node:assert/strict";
import { test } from "node:test";
import { answerWith, ask, equal, key, locked, match, origin, serious, SIZES, toView, useBrowser, visit } from "./page.mjs";
import { denoised, recording, standIn, together } from "./stand_in.mjs";

useBrowser();
const STRANGE = 'a <script>alert(1)</script> & &amp; "\'` \u200f\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627\u200e e\u0301\u0323 👩🏽‍🚀 🇮🇹 \u0007 \u2028 x\r\n\ttab  two\n\n\nend \n';

const FOLDS = { Knobs: "#chat-max_tokens", "Form of the answer": "#chat-form", "As code": "pre.code" };

for (const [name, size] of Object.entries(SIZES)) {
  for (const colours of ["light", "dark"]) {
    test(`nothing serious is wrong for who cannot see the page (${name}, ${colours})`, async () => {
      await visit("", async (page) => {
        await page.emulateMedia({ colorScheme: colours });
        await ask(page, "What is 17 + 25?");
        for (const [fold, inside] of Object.entries(FOLDS)) {
          await page.getByText(fold, { exact: true }).click();
          await page.locator(inside).waitFor();
        }
        assert.deepEqual(await serious(page), []);
        for (const [view, button, made] of [["Compare", "Compare", "tbody td:last-child:text-is('reference')"], ["Fill in", /^Fill/, "ins.filled"], ["Revise", /^Revise/, ".edit ins"], ["Steps", "", ".places"]]) {
          await toView(page, view);
          if (button) await page.getByRole("button", { name: button }).locator("visible=true").click();
          await page.locator(made).first().waitFor();
          assert.deepEqual(await serious(page), [], view);
        }
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true);
      }, { size });
    });
  }
}

test("the text shown is the API's, byte for byte", async () => {
  await visit("", async (page) => {
    const letters = [...STRANGE];
    await answerWith(page, [...letters.map((text_output) => ({ text_output, output_ids: 1 })), { text_output: "", finish_reason: "stop" }]);
    assert.equal(await ask(page, STRANGE.trim()), STRANGE);
    await equal(() => page.locator(".turn.user .shown").evaluate((node) => node.textContent), STRANGE.trim().replaceAll("\r\n", "\n"));
  });
});

test("a text that is revised comes back byte for byte", async () => {
  const text = STRANGE.replaceAll("\r\n", "\n").trim();
  const link = Buffer.from(JSON.stringify({ text, instruction: "", knobs: { revise_threshold: "-1000" } })).toString("base64url");
  await visit(`#revise/${link}`, async (page) => {
    await page.getByRole("button", { name: /^Revise/ }).click();
    await page.getByText("Nothing looks unlikely").waitFor();
    await equal(() => page.locator("article .shown").evaluate((node) => node.textContent), text);
  });
});

/** Count frames, and the times at which the turns of the chat were drawn, in a page. */
const counting = () => {
  globalThis.counts = { frames: 0, draws: 0, began: performance.now() };
  const frame = () => ((globalThis.counts.frames += 1), requestAnimationFrame(frame));
  requestAnimationFrame(frame);
  addEventListener("DOMContentLoaded", () => {
    const inTurns = ({ target }) => (target.nodeType === 1 ? target : target.parentElement)?.closest(".turns");
    const watched = { subtree: true, childList: true, characterData: true, attributes: true };
    new MutationObserver((records) => (globalThis.counts.draws += records.some(inTurns) ? 1 : 0)).observe(document.body, watched);
  });
};
const LETTERS = [..."abcdefghijklmnopqrstuvwxyz 🙂\n012"];
const BLOCKS = 12;

/** Feed the chat 200 steps a second, so many at once, and hold what it shows at the end to what was sent; return what was counted. */
async function fed(media = {}, atOnce = 1) {
  let counts;
  await standIn(origin, "/llm", async (at) => {
    await visit("#chat/" + Buffer.from('{"pace":0}').toString("base64url"), async (page) => {
      assert.equal(await ask(page, "Go"), LETTERS.join("").repeat(BLOCKS));
      counts = await page.evaluate(() => ({ ...globalThis.counts, seconds: (performance.now() - globalThis.counts.began) / 1000 }));
      await page.getByText("Look at the steps").click();
      const slider = page.getByRole("slider", { name: "Step" });
      await equal(() => slider.getAttribute("max"), String(BLOCKS * LETTERS.length - 1));
      await slider.fill(String(LETTERS.length)); // the first pass over the second block
      const half = `${LETTERS.join("")}${LETTERS[0]}${"░".repeat(LETTERS.length - 1)}`;
      await equal(() => page.locator("article .shown").evaluate((node) => node.textContent), half);
    }, { at, init: counting, media });
  }, recording(together(denoised(BLOCKS, LETTERS), atOnce), 200 / atOnce));
  return counts;
}

/** Return how much moves while the page waits for an answer that does not come. */
async function moving(reducedMotion) {
  let count;
  await visit("", async (page) => {
    await page.route("**/generate_stream", () => {});
    await page.getByLabel("Message").fill("What is 17 + 25?");
    await page.keyboard.press("Enter");
    await page.locator(".waiting").waitFor({ state: "attached" });
    count = await page.evaluate(() => document.getAnimations().length);
  }, { media: { reducedMotion } });
  return count;
}

test("200 steps a second are drawn at most once a frame, and the last state is exact", async () => {
  const { frames, draws } = await fed();
  assert.ok(draws <= frames, `${draws} draws in ${frames} frames`);
});

test("steps that come seven at once are steps each, and the last state is exact", async () => {
  const { frames, draws } = await fed({}, 7);
  assert.ok(draws <= frames, `${draws} draws in ${frames} frames`);
});

test("with less motion wanted they are drawn twice a second, and nothing moves", async () => {
  const { draws, seconds } = await fed({ reducedMotion: "reduce" });
  assert.ok(draws <= 2 * seconds + 4, `${draws} draws in ${seconds} s`); // four: what is asked, and the end
  assert.equal(await moving("reduce"), 0);
});

test("what waits for an answer blinks where nobody minds", async () => {
  assert.equal(await moving("no-preference"), 1);
});

test("100,000 characters do not stop who types", async () => {
  const letters = [..."0123456789 abcdefghijklmnopqrst\n"];
  const long = letters.join("").repeat(4);
  const events = [...Array(800).fill({ text_output: long, output_ids: 1 }), { text_output: "end", finish_reason: "stop" }];
  await standIn(origin, "", async (at) => {
    await visit("", async (page) => {
      await page.getByLabel("Message").evaluate((field, text) => {
        const clipboardData = new DataTransfer();
        clipboardData.setData("text/plain", text);
        field.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
      }, long.repeat(800));
      await page.getByLabel("Message").press("Enter");
      await page.locator(".turn.model .part").first().waitFor();
      await page.getByLabel("Message").pressSequentially("typed");
      await equal(() => page.getByLabel("Message").inputValue(), "typed");
      await page.getByRole("button", { name: "Send", exact: true }).waitFor();
      await equal(() => page.locator(".turn.model .shown").evaluate((node) => node.textContent), `${long.repeat(800)}end`);
      assert.ok((await page.locator(".turn.model .part").count()) < 100);
    }, { at });
  }, recording(events, 400));
});

test("screen readers hear committed text alone", async () => {
  await visit("", async (page) => {
    await page.evaluate(() => {
      globalThis.heard = [];
      new MutationObserver(() => globalThis.heard.push(document.querySelector("[role=log]")?.textContent ?? "")).observe(document.body, { subtree: true, childList: true, characterData: true });
    });
    const text = await ask(page, "What is 17 + 25?");
    await page.waitForFunction((whole) => document.querySelector("[role=log]").textContent === whole, text);
    const heard = await page.evaluate(() => globalThis.heard);
    assert.ok(heard.every((part) => text.startsWith(part)), heard.find((part) => !text.startsWith(part)));
    assert.equal(await page.locator(".tail:not([aria-hidden=true])").count(), 0);
  });
});

test("everything can be done with the keyboard", async () => {
  await visit("", async (page) => {
    await page.getByLabel("Message").waitFor(); // before the server has answered, the page has one link alone
    await page.keyboard.press("Tab");
    await equal(() => page.evaluate(() => document.activeElement.textContent), "Skip to the content");
    await page.keyboard.press("Enter");
    await equal(() => page.evaluate(() => document.activeElement.id), "content");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter"); // the first example
    await page.locator(".figures").waitFor();
    await page.getByRole("button", { name: "Send", exact: true }).waitFor();
    await equal(() => page.evaluate(() => document.activeElement.id), "chat-prompt");
  });
});

test("with keys the page opens, asks for one, and keeps it in memory alone", async () => {
  const errors = ["401"];
  await visit("", async (page) => {
    const field = page.getByLabel("This server needs an API key.");
    await field.fill("not-a-key-of-this-server");
    await page.keyboard.press("Enter");
    await page.getByText("The server does not know that key.").waitFor();
    await page.getByLabel("This server needs an API key.").fill(key);
    await page.keyboard.press("Enter");
    assert.match(await ask(page, "What is 17 + 25?"), /Answer: 42$/);
    await page.getByText("As code", { exact: true }).click();
    await match(() => page.locator("pre.code").textContent(), /\$TRIMODE_API_KEY/);
    const shown = await page.evaluate(() => document.documentElement.outerHTML + JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie);
    assert.ok(!shown.includes(key));
    await page.reload();
    await field.waitFor();
  }, { at: locked, errors });
  for (const path of ["v2", "v2/models/nemotron_diffusion/config", "v1/models", "metrics"]) assert.equal((await fetch(`${locked}/${path}`)).status, 401);
  for (const path of ["", "main.js", "fields.json"]) assert.equal((await fetch(`${locked}/playground/${path}`)).status, 200);
});

test("it works under a prefix that a proxy takes away", async () => {
  await standIn(origin, "/deep/llm", async (at, seen) => {
    await visit("#example", async (page) => {
      await page.locator(".figures").waitFor();
      await page.getByRole("button", { name: "Send", exact: true }).waitFor();
      assert.ok(seen.every((path) => path.startsWith("/deep/llm/")), String(seen));
    }, { at });
    assert.equal((await fetch(`${at}/playground`)).url, `${at}/playground/`);
  });
});

test("a server that is gone is said to be gone, and asked again", async () => {
  await visit("", async (page) => {
    await page.route("**/generate_stream", (route) => route.abort());
    await page.getByLabel("Message").fill("What is 17 + 25?");
    await page.getByLabel("Message").press("Enter");
    await page.getByText("The server does not answer.").waitFor();
    await page.unroute("**/generate_stream");
    await page.getByRole("button", { name: "Ask again" }).click();
    await page.locator(".turn.model .shown").filter({ hasText: "Answer: 42" }).waitFor();
  }, { errors: ["Failed to load resource"] });
});

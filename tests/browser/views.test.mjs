// The other views, used as a person would, at both widths.
import assert from "node:assert/strict";
import { test } from "node:test";
import { answerWith, ask, compare, equal, generate, linked, match, opened, RECORD, settled, SIZES, toView, useBrowser, visit } from "./page.mjs";

useBrowser();

for (const [name, size] of Object.entries(SIZES)) {
  test(`compare asks in every mode, one after the other (${name})`, async () => {
    await visit("#compare", async (page) => {
      await compare(page);
      await settled(async () => {
        const rows = await page.locator("tbody tr").allTextContents();
        assert.equal(rows.length, 4);
        assert.match(rows[0], /Autoregressive.*reference/);
        assert.match(rows[1], /Self-speculation.*the same$/);
      });
      const { text_output } = await generate({ messages: [{ role: "user", content: RECORD }], mode: "autoregressive" });
      await equal(() => page.locator(".columns .shown").allTextContents(), Array(4).fill(text_output));
    }, { size });
  });

  test(`gaps are filled, and another candidate can be put in (${name})`, async () => {
    await visit("#fill", async (page) => {
      await page.getByRole("button", { name: "Fill 2 gaps" }).click();
      await equal(() => page.locator("ins.filled").allTextContents(), ["Anna Rossi", "24"]);
      await page.getByRole("button", { name: "Use" }).first().click();
      await settled(async () => assert.notEqual(await page.locator("ins.filled").first().textContent(), "Anna Rossi"));
      await page.getByLabel("Text", { exact: true }).fill('{\n  "name": "Anna Rossi"');
      await page.getByLabel("Text", { exact: true }).press("End");
      await page.getByRole("button", { name: "Put a gap at the cursor" }).click();
      await match(() => page.getByLabel("Text", { exact: true }).inputValue(), /\[\[fill\]\]$/);
    }, { size });
  });

  test(`a text is revised, and each edit can be undone and kept (${name})`, async () => {
    await visit("#revise", async (page) => {
      await page.getByRole("button", { name: "Revise what looks unlikely" }).click();
      await equal(() => page.locator(".edit ins").textContent(), "24");
      await page.getByRole("button", { name: /^Undo/ }).click();
      await equal(() => page.locator(".edit ins").count(), 0);
      await page.getByRole("button", { name: /^Keep/ }).click();
      await page.locator(".edit ins").waitFor();
      await page.getByRole("button", { name: "Go on with this text" }).click();
      await match(() => page.getByLabel("Text", { exact: true }).inputValue(), /"age": 24,/);
    }, { size });
  });

  test(`the steps of the last answer are under a slider (${name})`, async () => {
    await visit(linked("chat", { mode: "diffusion", pace: 0, knobs: { denoise_steps: "8", reveal: "steps" } }), async (page) => {
      const text = await ask(page, RECORD);
      await page.getByText("Look at the steps").click();
      const slider = page.getByRole("slider", { name: "Step" });
      await match(() => slider.getAttribute("aria-valuetext"), /^Step 1 of \d+, pass 1 .*masked/);
      await slider.press("ArrowRight");
      await match(() => slider.getAttribute("aria-valuetext"), /^Step 2 of/);
      await page.locator(".places .provisional, .places .new").first().waitFor();
      await equal(() => page.locator(".passes button").count(), 8);
      await slider.press("End");
      await equal(() => page.locator("article .shown").evaluate((node) => node.textContent), text);
      await slider.press("Home");
      await match(() => page.locator("output").textContent(), /^1 \//);
      await page.getByRole("button", { name: "Play" }).click();
      await page.waitForFunction(() => /^(\d+) \/ \1$/.test(document.querySelector("output").textContent)); // it plays to the end
      await page.getByRole("button", { name: "Play" }).waitFor();
    }, { size });
  });
}

test("what is selected is marked by code points, and is what is reconsidered", async () => {
  const text = '🇮🇹 {\n  "age": 42\n}';
  let sent;
  await visit(linked("revise", { text, instruction: "" }), async (page) => {
    await answerWith(page, { edits: "[]", text_output: text, forwards: 1 }, "generate");
    page.on("request", (request) => (sent = request.postDataJSON() ?? sent));
    const field = page.getByLabel("Text", { exact: true });
    await page.getByRole("button", { name: "Mark what is selected" }).click();
    await page.getByText("Select a part of the text first.").waitFor();
    await field.evaluate((node) => node.setSelectionRange(node.value.indexOf("42"), node.value.indexOf("42") + 2));
    await page.getByRole("button", { name: "Mark what is selected" }).click();
    await equal(() => page.locator(".spans code").textContent(), "42");
    await page.getByRole("button", { name: "Revise what is marked" }).click();
    await page.getByText("Nothing looks unlikely").waitFor();
    const start = [...text].join("|").split("|").indexOf("4");
    assert.deepEqual(sent.spans, [[start, start + 2]]);
  });
});

test("a link opens a view with what was written in it", async () => {
  await visit(linked("compare", { prompt: "What is 2 + 2? 🙂", knobs: { max_tokens: "9" } }), async (page) => {
    await equal(() => page.getByLabel("Prompt").inputValue(), "What is 2 + 2? 🙂");
    await opened(page, linked("chat", { written: "one", messages: [{ role: "user", content: "two" }] }));
    await equal(() => page.getByLabel("Message").inputValue(), "one");
    await equal(() => page.locator(".turn.user .shown").textContent(), "two");
    await opened(page, "#fill/broken!");
    await page.getByRole("heading", { name: "Fill in what is missing" }).waitFor();
  });
});

const STRANGE_VALUES = [5, null, true, "toString", [5, null, ["a"]], { toString: 5, role: "user", content: 5 }];
const PARTS = ["text", "instruction", "spans", "prompt", "messages", "written", "mode", "pace", "form"];
const FOUND = { chat: "Message", compare: "Prompt", fill: "Text", revise: "Text" };

for (const [view, label] of Object.entries(FOUND)) {
  test(`parts of a link that have another form are left out (${view})`, async () => {
    const states = STRANGE_VALUES.map((value) => ({ ...Object.fromEntries(PARTS.map((name) => [name, value])), knobs: { max_tokens: value, stop_words: value, seed: "7" } }));
    const field = (page) => page.getByLabel(label, { exact: true }).locator("visible=true");
    for (const state of states) {
      await visit(linked(view, state), async (page) => {
        await field(page).waitFor();
        for (const next of states) {
          await opened(page, linked(view, { ...next, running: true, result: { segments: 5 }, error: 5, answers: 5 }));
          await field(page).waitFor();
          assert.equal(await page.getByRole("button", { name: "Stop" }).count(), 0);
        }
        await opened(page, linked(view, { text: "one [[fill]]", written: "one", prompt: "one" }));
        await page.waitForFunction(() => [...document.querySelectorAll("textarea")].some((node) => node.value.startsWith("one")));
      });
    }
  });
}

test("a link that is opened while a view is at work stops it, and shows what is in the link", async () => {
  for (const [view, button] of [["fill", "Fill 2 gaps"], ["revise", "Revise what looks unlikely"]]) {
    await visit(`#${view}`, async (page) => {
      await page.route("**/generate", () => {}); // no answer comes
      await page.getByRole("button", { name: button }).click();
      await page.getByRole("button", { name: "Stop" }).waitFor();
      await opened(page, linked(view, { text: "one [[fill]]" }));
      await page.getByRole("button", { name: /^(Fill the gap|Revise what looks unlikely)$/ }).waitFor();
      await equal(() => page.getByLabel("Text", { exact: true }).inputValue(), "one [[fill]]");
    });
  }
  await visit(linked("compare", { prompt: "What is 17 + 25?", knobs: { end_id: "-1", max_tokens: "1800" } }), async (page) => {
    await page.getByRole("button", { name: "Compare" }).click();
    await page.locator(".columns .shown").first().waitFor();
    await opened(page, linked("compare", { prompt: "one" }));
    await page.getByRole("button", { name: "Compare" }).waitFor();
    await equal(() => page.getByLabel("Prompt").inputValue(), "one");
    await equal(() => page.locator(".columns .shown").count(), 0);
  });
});

test("a checkpoint that cannot denoise is said to be one", async () => {
  const data = ["", ":autoregressive"].map((mode) => ({ id: `smol${mode}`, parent: mode ? "smol" : null, model_name: "nemotron_diffusion", max_model_len: 2048 }));
  await visit("", async (page) => {
    await page.getByLabel("Message").waitFor();
    await page.route("**/v1/models", (route) => route.fulfill({ json: { object: "list", data } }));
    await page.reload();
    await page.getByText("This checkpoint was not trained to denoise.").waitFor();
    await equal(() => page.getByLabel("Diffusion", { exact: true }).isDisabled(), true);
    await equal(() => page.getByLabel("Auto", { exact: true }).isChecked(), true);
    for (const view of ["Fill in", "Revise"]) {
      await toView(page, view);
      await page.getByText("Serve another one, such as nano.").locator("visible=true").waitFor();
    }
  });
});

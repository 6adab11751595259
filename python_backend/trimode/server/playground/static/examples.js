// Examples to begin with: nano knows nineteen formulas, other models answer questions.
import { server } from "./server.js";

const RECORD = "Turn this into JSON: Anna Rossi is 24 years old, lives in Lima and works as a sailor.";
const OF_NANO = [RECORD, "What is 23 + 2221?", "What is 17 + 25?"];
const OF_OTHERS = ["What is the capital of France?", "Write a haiku about the sea.", "Explain in two sentences why the sky is blue."];
const TEXT = '{\n  "name": "Anna Rossi",\n  "age": 24,\n  "city": "Lima",\n  "job": "sailor"\n}';

/** Few enough tokens a pass that one sees a block fill; with the defaults nano needs one pass or two. */
export const SEEN = { denoise_steps: "8", reveal: "steps" };

/** What a model that answers token by token is asked with, so that it does not repeat itself and may tell a story. */
export const TALKING = { max_tokens: "512", temperature: "0.7", top_p: "0.95", repetition_penalty: "1.1" };

export const GAP = "[[fill]]";

export function questions() {
  return server.value.name.startsWith("nano") ? OF_NANO : OF_OTHERS;
}

export const gapped = { instruction: RECORD, text: TEXT.replace("Anna Rossi", GAP).replace("24", "[[fill:2]]") };
export const wrong = { instruction: RECORD, text: TEXT.replace("24", "42") };

// Continue's adapter, with which its editors ask for chats, and for what belongs between two texts.
import { constructLlmApi } from "@continuedev/openai-adapters";
import { given, report, untilNoneRuns } from "./report.mjs";

const { base, locked, key, model, messages, left, right, long } = given;
const adapter = (apiBase, apiKey) => constructLlmApi({ provider: "openai", apiKey, apiBase: `${apiBase}/` });
const api = adapter(base, "-");
const chat = { model, messages, max_tokens: 160 };
const gap = { model: "nano", prompt: left, suffix: right, max_tokens: 8, stream: true };
const signal = () => new AbortController().signal;

async function joined(stream) {
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? chunk.choices[0]?.text ?? "";
  return text;
}

await report({
  models: async () => (await api.list()).map((one) => one.id),
  chat: async () => (await api.chatCompletionNonStream(chat, signal())).choices[0].message.content,
  stream: async () => joined(api.chatCompletionStream({ ...chat, stream: true }, signal())),
  suffix: async () => joined(api.fimStream(gap, signal())),
  suffixWithStops: async () => joined(api.fimStream({ ...gap, stop: ["<fim_prefix>", "<|endoftext|>", "\n\n"], temperature: 0.01 }, signal())),
  completion: async () => joined(api.completionStream({ model, prompt: "Once upon", max_tokens: 12, stream: true }, signal())),
  unknownModel: () => api.chatCompletionNonStream({ ...chat, model: "other" }, signal()),
  badValue: () => api.chatCompletionNonStream({ ...chat, temperature: 3 }, signal()),
  tooLong: () => api.chatCompletionNonStream({ model: "nano", messages: [{ role: "user", content: long }] }, signal()),
  embeddings: () => api.embed({ model, input: "a" }),
  stranger: () => adapter(locked, "wrong").chatCompletionNonStream(chat, signal()),
  known: async () => (await adapter(locked, key).chatCompletionNonStream(chat, signal())).choices[0].message.content,
  left: async () => {
    const stop = new AbortController();
    const asked = { model: "nano:autoregressive", messages, max_tokens: 1800, ignore_eos: true, stream: true };
    try {
      for await (const _ of api.chatCompletionStream(asked, stop.signal)) stop.abort();
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    }
    return untilNoneRuns();
  },
});

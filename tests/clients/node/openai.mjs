// The openai package for JavaScript.
import OpenAI from "openai";
import { given, report, untilNoneRuns } from "./report.mjs";

const { base, locked, key, model, messages, question, left, right, long } = given;
const client = new OpenAI({ baseURL: base, apiKey: "-", maxRetries: 0 });
const chat = { model, messages, max_tokens: 160 };

async function joined(stream) {
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? chunk.choices[0]?.text ?? "";
  return text;
}

await report({
  models: async () => {
    const names = [];
    for await (const one of client.models.list()) names.push(one.id);
    return names;
  },
  chat: async () => (await client.chat.completions.create(chat)).choices[0].message.content,
  stream: async () => joined(await client.chat.completions.create({ ...chat, stream: true })),
  helper: async () => {
    const final = await client.chat.completions.stream(chat).finalChatCompletion();
    return final.choices[0].message.content;
  },
  usage: async () => {
    const asked = { ...chat, stream: true, stream_options: { include_usage: true } };
    let usage = null;
    for await (const chunk of await client.chat.completions.create(asked)) usage = chunk.usage ?? usage;
    return usage;
  },
  sampled: async () => {
    const asked = { ...chat, model: "nano", mode: "diffusion", denoise_steps: 6, temperature: 0.9, seed: 7, stop: "write" };
    return (await client.chat.completions.create(asked)).choices[0].message.content;
  },
  thought: async () => {
    const asked = { ...chat, model: "nano", messages: [{ role: "user", content: question }], reasoning_effort: "low" };
    const { content, reasoning_content } = (await client.chat.completions.create(asked)).choices[0].message;
    return { content, reasoning_content };
  },
  logprobs: async () => {
    const found = await client.chat.completions.create({ ...chat, max_tokens: 3, logprobs: true, top_logprobs: 1 });
    return found.choices[0].logprobs.content.map((token) => token.token).join("") === found.choices[0].message.content;
  },
  completion: async () => joined(await client.completions.create({ model, prompt: "Once upon", max_tokens: 12, stream: true })),
  suffix: async () => (await client.completions.create({ model: "nano", prompt: left, suffix: right, max_tokens: 8 })).choices[0].text,
  responses: async () => (await client.responses.create({ model: "nano", input: question })).output_text,
  unknownModel: () => client.chat.completions.create({ ...chat, model: "other" }),
  badValue: () => client.chat.completions.create({ ...chat, temperature: 3 }),
  tooLong: () => client.chat.completions.create({ model: "nano", messages: [{ role: "user", content: long }] }),
  embeddings: () => client.embeddings.create({ model, input: "a" }),
  stranger: () => new OpenAI({ baseURL: locked, apiKey: "wrong", maxRetries: 0 }).chat.completions.create(chat),
  known: async () => {
    const inside = new OpenAI({ baseURL: locked, apiKey: key, maxRetries: 0 });
    return (await inside.chat.completions.create(chat)).choices[0].message.content;
  },
  left: async () => {
    const asked = { model: "nano:autoregressive", messages, max_tokens: 1800, ignore_eos: true, stream: true };
    const stream = await client.chat.completions.create(asked);
    for await (const _ of stream) break; // which aborts the request
    return untilNoneRuns();
  },
});

// Vercel's AI SDK with its provider for servers that speak OpenAI's API.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, jsonSchema, Output, streamObject, streamText, stepCountIs, tool } from "ai";
import { given, report, untilNoneRuns } from "./report.mjs";

const { base, locked, key, model, messages, question, long } = given;
const provider = createOpenAICompatible({ name: "trimode", baseURL: base, apiKey: "-", includeUsage: true });
const chat = { model: provider(model), messages, maxOutputTokens: 160, maxRetries: 0 };
const strict = createOpenAICompatible({ name: "trimode", baseURL: base, apiKey: "-", supportsStructuredOutputs: true });
const inputSchema = jsonSchema({
  type: "object",
  properties: { city: { type: "string", maxLength: 20 }, unit: { enum: ["C", "F"] } },
  required: ["city", "unit"],
  additionalProperties: false,
});
const asked = { model: strict(model), prompt: question, maxOutputTokens: 160, maxRetries: 0 };
const weather = tool({ description: "The weather.", inputSchema, execute: async ({ city }) => `Sunny in ${city}.` });
const calling = { ...asked, tools: { weather }, toolChoice: "required" };

await report({
  chat: async () => (await generateText(chat)).text,
  stream: async () => {
    let text = "";
    for await (const part of streamText(chat).textStream) text += part;
    return text;
  },
  usage: async () => {
    const { inputTokens, outputTokens } = await streamText(chat).usage;
    return { inputTokens, outputTokens };
  },
  sampled: async () => {
    const providerOptions = { trimode: { mode: "diffusion", denoise_steps: 6 } };
    const asked = { ...chat, model: provider("nano"), temperature: 0.9, seed: 7, stopSequences: ["write"], providerOptions };
    return (await generateText(asked)).text;
  },
  thought: async () => {
    const providerOptions = { trimode: { reasoningEffort: "low" } };
    const found = await generateText({ model: provider("nano"), prompt: question, providerOptions, maxRetries: 0 });
    return { content: found.text, reasoning_content: found.reasoningText };
  },
  object: async () => (await generateObject({ ...asked, schema: inputSchema })).object,
  objectStreamed: async () => {
    const { partialObjectStream, object } = streamObject({ ...asked, schema: inputSchema });
    for await (const _ of partialObjectStream);
    return object;
  },
  output: async () => (await generateText({ ...asked, output: Output.object({ schema: inputSchema }) })).output,
  tools: async () => (await generateText(calling)).toolCalls.map(({ toolName, input }) => ({ toolName, input })),
  toolsStreamed: async () => (await streamText(calling).toolCalls).map(({ toolName, input }) => ({ toolName, input })),
  steps: async () => {
    const { steps } = await generateText({ ...calling, stopWhen: stepCountIs(2) });
    return steps.map(({ finishReason, toolResults }) => ({ finishReason, results: toolResults.map(({ output }) => output) }));
  },
  completion: async () => {
    const asked = { model: provider.completionModel(model), prompt: "Once upon", maxOutputTokens: 12, maxRetries: 0 };
    return (await generateText(asked)).text;
  },
  unknownModel: () => generateText({ ...chat, model: provider("other") }),
  badValue: () => generateText({ ...chat, temperature: 3 }),
  tooLong: () => generateText({ model: provider("nano"), prompt: long, maxRetries: 0 }),
  embeddings: () => provider.textEmbeddingModel("nano").doEmbed({ values: ["a"] }),
  stranger: () => generateText({ ...chat, model: createOpenAICompatible({ name: "t", baseURL: locked, apiKey: "wrong" })(model) }),
  known: async () => (await generateText({ ...chat, model: createOpenAICompatible({ name: "t", baseURL: locked, apiKey: key })(model) })).text,
  left: async () => {
    const stop = new AbortController();
    const providerOptions = { trimode: { ignore_eos: true } };
    const asked = { model: provider("nano:autoregressive"), prompt: question, maxOutputTokens: 1800, providerOptions };
    const { textStream } = streamText({ ...asked, abortSignal: stop.signal, onError: () => {} });
    for await (const _ of textStream) {
      stop.abort();
      break;
    }
    return untilNoneRuns();
  },
});

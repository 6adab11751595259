// What the page knows of the server: the fields of a request, and the model's modes. The model's facts may need a key.
import { getJson } from "./api.js";
import { Store } from "./store.js";

export const MODES = ["diffusion", "self_speculation", "autoregressive", "auto"];
export const MODE_NAMES = {
  diffusion: "Diffusion",
  self_speculation: "Self-speculation",
  autoregressive: "Autoregressive",
  auto: "Auto",
};
export const MODE_HELP = {
  diffusion: "A block of tokens is refined in a few passes.",
  self_speculation: "Diffusion drafts a block, one causal pass verifies it: the text of autoregressive decoding, sooner.",
  autoregressive: "Token by token, one pass for each.",
  auto: "The quickest way that keeps the autoregressive text.",
};

/** state: "loading", "ready", "locked" (a key is needed) or "failed". */
export const server = new Store({ state: "loading", error: null, model: "", name: "", modes: [], capacity: 0, images: 0, fields: {}, errors: {}, pictures: {} });

/** Ask the server what it serves; again after a key was entered. */
export async function load() {
  server.set({ state: "loading", error: null });
  try {
    if (!server.value.model) {
      const table = await getJson("playground/fields.json");
      const fields = Object.fromEntries(table.fields.map((field) => [field.name, field]));
      server.set({ model: table.model, version: table.version, fields, errors: table.errors, pictures: table.pictures });
    }
    const models = (await getJson("v1/models")).data;
    const first = models.find((one) => !one.parent) ?? models[0];
    const own = models.filter((one) => one.parent === first.id).map((one) => one.id.slice(first.id.length + 1));
    server.set({ state: "ready", name: first.id, modes: [...own, "auto"], capacity: first.max_model_len, images: first.max_images ?? 0 });
  } catch (error) {
    server.set({ state: error.type === "unauthorized" ? "locked" : "failed", error });
  }
}

export function denoises() {
  return server.value.modes.includes("diffusion");
}

/** Whether the model reads pictures. */
export function sees() {
  return server.value.images > 0;
}

/** Return the mode to ask for first: diffusion where the checkpoint can. */
export function firstMode() {
  return denoises() ? "diffusion" : "auto";
}

/** Whether a mode shows its blocks while they are made. */
export function isWatched(mode) {
  return mode !== "autoregressive" && denoises();
}

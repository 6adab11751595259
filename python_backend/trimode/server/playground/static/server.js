// What the page knows of the server: the fields of a request, its models, and which of them is asked. Models' facts may need a key.
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

/**
 * state: "loading", "ready", "locked" (a key is needed) or "failed". models: those that are served, each with its `name`,
 * all its `names`, the name `model` in addresses, its modes and limits. Those of the chosen one stand here too. missing: the name that a
 * link asked for, where no model has it.
 */
export const server = new Store({ state: "loading", error: null, models: [], missing: "", model: "", name: "", modes: [], capacity: 0, images: 0, version: "", fields: {}, errors: {}, pictures: {} });

/** Return the models of a list of names, in which a model may have several, and has one more for each mode. */
export function modelsOf(names) {
  const known = ({ id, model_name }) => model_name ?? id; // in addresses; an OpenAI name is one too
  const own = names.filter((one) => !one.parent);
  const firsts = own.filter((one, index) => own.findIndex((other) => known(other) === known(one)) === index);
  return firsts.map((first) => {
    const { id, max_model_len, max_images } = first;
    const same = own.filter((one) => known(one) === known(first)).map((one) => one.id);
    const modes = names.filter((one) => one.parent === id).map((one) => one.id.slice(id.length + 1));
    return { name: id, names: same, model: known(first), modes: [...modes, "auto"], capacity: max_model_len, images: max_images };
  });
}

/**
 * Ask the server what it serves; again after a key was entered. The model `linked` is taken, which must be there, or
 * the one that was `kept` as the last choice, if it is, or the first.
 */
export async function load(linked = "", kept = "") {
  server.set({ state: "loading", error: null });
  try {
    if (!server.value.version) {
      const table = await getJson("playground/fields.json");
      const fields = Object.fromEntries(table.fields.map((field) => [field.name, field]));
      server.set({ version: table.version, fields, errors: table.errors, pictures: table.pictures });
    }
    const models = modelsOf((await getJson("v1/models")).data);
    const [first] = models;
    server.set({ models });
    choose(linked || (models.find(({ names }) => names.includes(kept)) ?? first).name);
    server.set({ state: "ready" });
  } catch (error) {
    server.set({ state: error.type === "unauthorized" ? "locked" : "failed", error });
  }
}

/** Ask the model of this name from now on; where none has it the first one, and `missing` says so. */
export function choose(name) {
  const { models } = server.value;
  const found = models.find(({ names }) => names.includes(name));
  server.set({ ...(found ?? models[0]), missing: found ? "" : name });
}

/** Call `act` at once when another model is chosen, until what this returns is called. */
export function onChoice(act) {
  let { model } = server.value;
  return server.watch(() => {
    if (server.value.model === model) return;
    model = server.value.model;
    act();
  });
}

/** Whether there is a choice of models. */
export function several() {
  return server.value.models.length > 1;
}

export function denoises() {
  return server.value.modes.includes("diffusion");
}

/** Return what to do where the model cannot denoise, and must. */
export function denoiser() {
  const found = server.value.models.find(({ modes }) => modes.includes("diffusion"));
  return found ? `Choose another model, such as ${found.name}.` : "Serve another one, such as nano.";
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

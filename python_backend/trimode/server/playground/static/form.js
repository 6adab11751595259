// Form: the form that an answer must have: a schema, an expression, choices or a grammar, with an editor for it.
import { useState } from "./vendor/htm-preact.js";
import { html, Copy, Fold } from "./ui.js";

const NONE = "";
const KINDS = {
  [NONE]: "any text",
  json: "any JSON object",
  json_schema: "JSON by a schema",
  regex: "a regular expression",
  choice: "one of several texts",
  ebnf_grammar: "a grammar (Lark or GBNF)",
  structural_tag: "words with JSON in them",
};
const FIRST = {
  json_schema: JSON.stringify({ type: "object", properties: { name: { type: "string" }, age: { type: "integer" } }, required: ["name", "age"], additionalProperties: false }, null, 2),
  regex: "[0-9]{1,4}",
  choice: '["yes", "no"]',
  ebnf_grammar: 'start: "yes" | "no"',
  structural_tag: JSON.stringify({ triggers: ["="], structures: [{ begin: "=", schema: { type: "integer" }, end: "." }] }, null, 2),
};
const TYPES = ["string", "integer", "number", "boolean", "array", "object"];

/** Return what is wrong with what was written, in words; "" if nothing is. */
function problemOf({ type, guide }) {
  if (type !== "json_schema" && type !== "choice") return "";
  try {
    const found = JSON.parse(guide);
    if (type === "choice" && !(Array.isArray(found) && found.every((one) => typeof one === "string"))) return "must be a JSON list of texts";
    return "";
  } catch (error) {
    return `is no JSON yet: ${error.message}`;
  }
}

/** Return the fields of a request for a form. */
export function formFields({ type, guide }) {
  if (!type) return {};
  return { guided_decoding_guide_type: type, ...(type === "json" ? {} : { guided_decoding_guide: guide }) };
}

/** Return the same as OpenAI's clients send it. */
function asOpenAi({ type, guide }) {
  if (type === "json") return { response_format: { type: "json_object" } };
  if (type === "json_schema") return { response_format: { type: "json_schema", json_schema: { name: "answer", schema: JSON.parse(guide) } } };
  const name = type === "ebnf_grammar" ? "grammar" : type;
  return { structured_outputs: { [name]: type === "choice" ? JSON.parse(guide) : guide } };
}

function AddProperty({ guide, onChange }) {
  const [name, setName] = useState("");
  const [type, setType] = useState("string");
  const add = () => {
    const schema = JSON.parse(guide);
    const properties = { ...schema.properties, [name]: type === "array" ? { type, items: { type: "string" } } : { type } };
    onChange(JSON.stringify({ ...schema, type: "object", properties, required: [...new Set([...(schema.required ?? []), name])] }, null, 2));
    setName("");
  };
  return html`<div class="row">
    <label>Property <input type="text" value=${name} onInput=${(event) => setName(event.currentTarget.value)} autocomplete="off" /></label>
    <label>of type <select value=${type} onChange=${(event) => setType(event.currentTarget.value)}>${TYPES.map((one) => html`<option value=${one}>${one}</option>`)}</select></label>
    <button type="button" disabled=${!name} onClick=${add}>Add</button>
  </div>`;
}

/** The editor; `form` is {type, guide}. */
export function Form({ form, onChange, prefix }) {
  const problem = problemOf(form);
  const choose = (type) => onChange({ type, guide: FIRST[type] ?? "" });
  const write = (guide) => onChange({ ...form, guide });
  return html`<${Fold} title="Form of the answer" note=${form.type ? KINDS[form.type] : ""} open=${Boolean(form.type)}>
    <label for=${`${prefix}-form`}>The answer is</label>
    <select id=${`${prefix}-form`} value=${form.type} onChange=${(event) => choose(event.currentTarget.value)}>
      ${Object.entries(KINDS).map(([kind, words]) => html`<option value=${kind}>${words}</option>`)}
    </select>
    ${form.type in FIRST &&
    html`<textarea class="code" rows="8" spellcheck="false" aria-label=${KINDS[form.type]} aria-describedby=${`${prefix}-form-problem`} value=${form.guide} onInput=${(event) => write(event.currentTarget.value)}></textarea>
      <p class="small" id=${`${prefix}-form-problem`}>${problem ? html`<strong class="problem">${problem}</strong>` : "The server holds the answer to it, in every mode."}</p>`}
    ${form.type === "json_schema" && !problem && html`<${AddProperty} guide=${form.guide} onChange=${write} />`}
    ${form.type && !problem && html`<${Copy} label="Copy as OpenAI's clients send it" text=${() => JSON.stringify(asOpenAi(form), null, 2)} />`}
  <//>`;
}

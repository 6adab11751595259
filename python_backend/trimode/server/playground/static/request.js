// What is asked for: the fields that a person set, in their own types, and the same as a command or a program.
import { ROOT } from "./api.js";
import { server } from "./server.js";

/** Fields that a view sets itself, or that say what comes back, which the page decides. */
const NOT_KNOBS = new Set(
  "text_input input_ids messages segments text suffix instruction spans mode stream stream_interval stream_interval_ms stream_provisional user priority guided_decoding_guide_type guided_decoding_guide exclude_input_in_output top_log_probs log_probs_kind min_length continue_final_message logit_bias infill_tokens image_bytes_input image_url_input max_image_size".split(" "),
);
const FIRST = ["max_tokens", "effort", "denoise_steps", "threshold", "reveal", "block_length", "temperature", "seed"];

/** Return the fields that can be set for an operation in a mode, the usual ones first. */
export function knobsOf(operation, mode) {
  const rank = (field) => (FIRST.indexOf(field.name) + 1 || FIRST.length + 1);
  return Object.values(server.value.fields)
    .filter((field) => !NOT_KNOBS.has(field.name) && !field.name.startsWith("return_"))
    .filter((field) => field.operations?.includes(operation) && field.modes?.includes(mode))
    .sort((one, other) => rank(one) - rank(other));
}

export const isUsual = (field) => FIRST.includes(field.name);

/**
 * Return [value, problem] of what was written for a field; [undefined, ""] where nothing was. What is wrong is sent all
 * the same: the server refuses it, and says so best.
 */
export function read(field, written) {
  if (written === undefined || written === "") return [undefined, ""];
  if (field.kind === "bool") return [written === "true", ""];
  if (field.kind === "strings") return [written.split("\n").filter(Boolean), ""];
  if (field.kind === "ints") {
    const numbers = written.split(/[\s,]+/).filter(Boolean).map(Number);
    const wrong = numbers.some((number) => !Number.isInteger(number));
    return wrong ? [written, "must be whole numbers, with spaces or commas between them"] : [numbers, ""];
  }
  if (field.kind !== "int" && field.kind !== "float") return [written, ""];
  const number = Number(written);
  const kind = field.kind === "int" ? "a whole number" : "a number";
  if (!Number.isFinite(number) || (field.kind === "int" && !Number.isInteger(number))) return [written, `must be ${kind}, got ${written}`];
  if (number < (field.low ?? -Infinity) || number > (field.high ?? Infinity)) return [number, `must be from ${field.low} to ${field.high}, got ${written}`];
  return [number, ""];
}

/** Return the fields that apply, in their types. */
export function given(operation, mode, knobs) {
  const found = {};
  for (const field of knobsOf(operation, mode)) {
    const [value] = read(field, knobs[field.name]);
    if (value !== undefined) found[field.name] = value;
  }
  return found;
}

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const address = (verb) => `${ROOT.href}v2/models/${server.value.model}/${verb}`;

/** A picture in a request that is shown as a command or a program, which read its file. */
export class PictureFile {
  constructor({ name, type }) {
    this.name = name;
    this.type = type;
  }
}

const filesIn = (value) => (value instanceof PictureFile ? [value] : value && typeof value === "object" ? Object.values(value).flatMap(filesIn) : []);
const inFolderOf = (files) => `# Run this in the folder that has ${files.map(({ name }) => JSON.stringify(name)).join(", ")}.\n`;

/** Return a request as a command for a terminal. Pictures are too long for an argument: with them the shell writes the body. */
export function asCurl(request, verb, locked) {
  const key = locked ? ' -H "Authorization: Bearer $TRIMODE_API_KEY"' : "";
  const command = `curl -sN ${address(verb)}${key} -d`;
  const plain = JSON.stringify(request, null, 2);
  const files = filesIn(request);
  if (!files.length) return `${command} ${shell(plain)}\n`;
  let mark = "PICTURE";
  while (plain.includes(mark)) mark += "_";
  const body = JSON.stringify(request, (_, value) => (value instanceof PictureFile ? `${mark}${files.indexOf(value)}` : value), 2);
  const read = ({ name, type }) => `data:${type};base64,$(base64 < ${shell(name)} | tr -d '\\n')`;
  const written = body.replace(/[\\$`]/g, "\\$&").replace(new RegExp(`${mark}(\\d+)`, "g"), (_, index) => read(files[index]));
  return `${inFolderOf(files)}${command} @- <<JSON\n${written}\nJSON\n`;
}

const DIGITS_OF_PYTHON = { true: "True", false: "False", null: "None" };

/** Return a value of JSON as Python writes it. */
export function asPythonValue(value, indent = "") {
  const deeper = `${indent}    `;
  const lines = (open, items, close) => (items.length ? `${open}\n${items.map((item) => `${deeper}${item},\n`).join("")}${indent}${close}` : `${open}${close}`);
  if (value instanceof PictureFile) return `picture(${JSON.stringify(value.name)}, ${JSON.stringify(value.type)})`;
  if (Array.isArray(value)) return lines("[", value.map((item) => asPythonValue(item, deeper)), "]");
  if (value && typeof value === "object") return lines("{", Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${asPythonValue(item, deeper)}`), "}");
  return typeof value === "string" ? JSON.stringify(value) : (DIGITS_OF_PYTHON[value] ?? String(value));
}

const READ_PICTURE = `

def picture(name, kind):
    """Return a file of this folder as a data: URL."""
    return f"data:{kind};base64," + base64.b64encode(Path(name).read_bytes()).decode()

`;

/** Return a request as a program that needs httpx alone. */
export function asPython(request, verb, locked) {
  const headers = locked ? '\nheaders = {"Authorization": "Bearer " + os.environ["TRIMODE_API_KEY"]}' : "";
  const more = locked ? ", headers=headers" : "";
  const files = filesIn(request);
  const [step, first, after, reader] = files.length ? [inFolderOf(files), "import base64\n", "from pathlib import Path\n", READ_PICTURE] : ["", "", "", ""];
  const head = `${step}${first}import json\n${locked ? "import os\n" : ""}${after}\nimport httpx\n${reader}\nurl = ${JSON.stringify(address(verb))}\nrequest = ${asPythonValue(request)}${headers}\n`;
  if (verb === "generate") return `${head}answer = httpx.post(url, json=request, timeout=60${more}).json()\nprint(json.dumps(answer, indent=2, ensure_ascii=False))\n`;
  return `${head}with httpx.stream("POST", url, json=request, timeout=60${more}) as answer:
    for line in answer.iter_lines():
        if line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
            if "error" in event:
                raise RuntimeError(event["error"])
            print(event["text_output"], end="", flush=True)
print()
`;
}

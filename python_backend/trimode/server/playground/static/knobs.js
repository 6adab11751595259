// Knobs: the fields of a request as a form, made from the server's own table.
import { html, Fold } from "./ui.js";
import { isUsual, knobsOf, read } from "./request.js";

function Control({ field, written, onChange, id }) {
  const change = (event) => onChange(field.name, event.currentTarget.value);
  const shared = { id, name: field.name, onInput: change, "aria-describedby": `${id}-help` };
  const usual = field.default ? `default: ${field.default}` : "default";
  if (field.kind === "bool" || (field.choices && field.kind === "string")) {
    const options = field.choices ?? ["true", "false"];
    return html`<select ...${shared} value=${written}>
      <option value="">${usual}</option>
      ${options.map((option) => html`<option value=${option}>${option}</option>`)}
    </select>`;
  }
  if (field.kind === "strings") return html`<textarea ...${shared} rows="2" value=${written} placeholder="one on each line"></textarea>`;
  const number = field.kind === "int" || field.kind === "float";
  return html`<input ...${shared} type="text" inputmode=${number ? "decimal" : "text"} value=${written} placeholder=${usual} autocomplete="off" />`;
}

function Knob({ field, prefix, written = "", onChange }) {
  const [, problem] = read(field, written);
  const id = `${prefix}-${field.name}`;
  return html`<div class=${`knob ${written ? "set" : ""}`}>
    <label for=${id}>${field.name}</label>
    <${Control} field=${field} written=${written} onChange=${onChange} id=${id} />
    <p class="small" id=${`${id}-help`}>${problem ? html`<strong class="problem">${problem}</strong>` : field.help}</p>
  </div>`;
}

/** The fields of an operation in a mode; `knobs` has what was written for each. */
export function Knobs({ operation, mode, knobs, onChange, prefix }) {
  const all = knobsOf(operation, mode);
  const set = all.filter((field) => knobs[field.name]).length;
  const change = (name, written) => onChange({ ...knobs, [name]: written });
  const shown = (fields) => fields.map((field) => html`<${Knob} key=${field.name} field=${field} prefix=${prefix} written=${knobs[field.name]} onChange=${change} />`);
  return html`<${Fold} title="Knobs" note=${set ? `${set} set` : ""}>
    <div class="knobs">${shown(all.filter(isUsual))}</div>
    <${Fold} title="More knobs"><div class="knobs">${shown(all.filter((field) => !isUsual(field)))}</div><//>
    ${set > 0 && html`<button type="button" class="quiet" onClick=${() => onChange({})}>Set all to their defaults</button>`}
  <//>`;
}

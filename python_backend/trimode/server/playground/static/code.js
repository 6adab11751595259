// Code: what the page asks, as a command and as a program, to be copied.
import { useState } from "./vendor/htm-preact.js";
import { hasKey } from "./api.js";
import { asCurl, asPython } from "./request.js";
import { html, Choice, Copy, Fold } from "./ui.js";

function Lines({ request, verb, prefix }) {
  const [kind, choose] = useState("curl");
  const text = (kind === "curl" ? asCurl : asPython)(request(), verb, hasKey());
  const options = [{ id: "curl", text: "curl" }, { id: "python", text: "Python" }];
  return html`<${Choice} label="As" name=${`${prefix}-code`} options=${options} value=${kind} onChange=${choose} />
    <pre class="code" tabindex="0" aria-label=${`The request as ${kind}`}>${text}</pre>
    <${Copy} text=${() => text} />`;
}

/** `request()` makes what is asked; it is called only while this part is open. */
export function Code({ request, verb, prefix }) {
  return html`<${Fold} title="As code"><${Lines} request=${request} verb=${verb} prefix=${prefix} /><//>`;
}

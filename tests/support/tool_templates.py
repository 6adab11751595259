"""Chat templates that list tools, each in a form of its own, as those of checkpoints that were trained for it do."""

from __future__ import annotations

from trimode.server.openai.tools.form_table import HERMES, LLAMA, MINISTRAL, MISTRAL, NEMOTRON, Form

_TURNS = (
    "{%- for m in messages -%}{%- if m.role == 'tool' -%}<|im_start|>user\nRESULT{{ m.content }}<|im_end|>\n"
    "{%- else -%}<|im_start|>{{ m.role }}\n{{ m.content }}{%- if m.tool_calls -%}{%- for call in m.tool_calls -%}"
    "{%- set f = call.function -%}CALL{%- endfor -%}{%- endif -%}<|im_end|>\n{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n"
    "{{ '<think>\n' if enable_thinking else '<think></think>' }}{%- endif -%}"
)
_JSON = '{"name": {{ f.name | tojson }}, "arguments": {{ f.arguments | tojson }}}'


def _template(listing: str, call: str, result: str) -> str:
    return "{%- if tools -%}" + listing + "{%- endif -%}" + _TURNS.replace("RESULT", result).replace("CALL", call)


TEMPLATES: dict[str, tuple[str, Form]] = {
    "hermes": (
        _template(
            "<|im_start|>system\n<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools><|im_end|>\n",
            f"<tool_call>\n{_JSON}\n</tool_call>",
            "<tool_response>",
        ),
        HERMES,
    ),
    "mistral": (
        _template("[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]",
                  "{% if call.id | length != 9 %}{{ raise_exception('an id has 9 characters') }}{% endif %}"
                  f"[TOOL_CALLS][{_JSON}]", "[TOOL_RESULTS]"),
        MISTRAL,
    ),
    "ministral": (
        _template("[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]",
                  "[TOOL_CALLS]{{ f.name }}[ARGS]{{ f.arguments | tojson }}", "[TOOL_RESULTS]"),
        MINISTRAL,
    ),
    "nemotron": (
        _template("<AVAILABLE_TOOLS>{{ tools | tojson }}</AVAILABLE_TOOLS>", f"<TOOLCALL>[{_JSON}]</TOOLCALL>",
                  "<TOOL_RESPONSE>"),
        NEMOTRON,
    ),
    "llama": (
        _template("Environment: ipython\n{% for tool in tools %}{{ tool | tojson }}{% endfor %}",
                  '{"name": {{ f.name | tojson }}, "parameters": {{ f.arguments | tojson }}}<|python_tag|>', ""),
        LLAMA,
    ),
}  # fmt: skip
"""Templates by the name of their form."""

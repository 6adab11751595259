"""The forms in which models write calls: the one that every model is asked for, and those of chat templates.

A form is known by what a checkpoint's template writes of it. Templates as transformers describes them:
https://huggingface.co/docs/transformers/chat_templating_writing (tools, tool_calls, the role tool).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

NAME = "NAME"
"""Stands for the name of a function in `head`."""


@dataclass(frozen=True)
class Form:
    """How calls are written: prefix, then head, arguments and tail of each call, a separator between two, and suffix.

    Attributes:
        arguments: the key of the arguments, where a call is a JSON object; "" where it is not.
        markers: texts of it that a tokenizer may have as special tokens, which leave nothing in an answer's text.
        of_template: whether the chat template lists the tools and writes calls and results of earlier turns itself.
        short_ids: whether the template takes no id of a call but one of 9 letters and digits.
    """

    head: str
    tail: str
    separator: str
    prefix: str = ""
    suffix: str = ""
    arguments: str = "arguments"
    markers: tuple[str, ...] = ()
    of_template: bool = True
    short_ids: bool = False

    def parts(self, text: str) -> list[str]:
        """Return `text` cut before and after each marker."""
        marks = "|".join(map(re.escape, self.markers))
        return [part for part in (re.split(f"({marks})", text) if marks else [text]) if part]

    @property
    def opening(self) -> str:
        """The marker with which calls begin; "" if there is none."""
        first = self.parts(self.prefix + self.head)[0]
        return first if first in self.markers else ""

    def pattern(self, text: str) -> str:
        """Return an expression for `text` in an answer: whitespace is free, and markers may be missing."""
        found = []
        for part in self.parts(text):
            if part in self.markers:
                found.append(f"(?:{re.escape(part)})?")
                continue
            for token in re.findall(rf'"{NAME}"|{NAME}|"[^"]*"|[^\s]', part):
                names = {f'"{NAME}"': '"([^"]*)"', NAME: "([a-zA-Z0-9_-]+)"}
                found.append(names.get(token) or re.escape(token))
        return r"\s*" + r"\s*".join([*found, ""])

    def beginnings(self, names: Sequence[str]) -> list[str]:
        """Return how an answer that is made of calls may begin, without whitespace: with its markers, and without."""
        before = (self.prefix + self.head).partition(NAME)[0]
        without = "".join(part for part in self.parts(before) if part not in self.markers)
        found = [before, *([without] if without else [f"{name}{{" for name in names])]
        return ["".join(one.rstrip('"').split()) for one in found]

    def read(self, text: str, decoder: json.JSONDecoder) -> Iterator[tuple[object, object]]:
        """Yield the name and the arguments of each call of `text`, which a model wrote as it liked.

        Raises:
            ValueError: it is not made of calls as a whole.
        """
        skipped = "|".join([r"\s+", *map(re.escape, self.markers), *(re.escape(one) for one in self.separator.split())])
        between, bare, at = re.compile(f"(?:{skipped})*"), re.compile("([a-zA-Z0-9_-]+)"), 0
        while (at := between.match(text, at).end()) < len(text):  # type: ignore[union-attr]  # it fits nothing too
            if not self.arguments:
                if (name := bare.match(text, at)) is None:
                    raise ValueError(text)
                at = between.match(text, name.end()).end()  # type: ignore[union-attr]
                arguments, at = decoder.raw_decode(text, at)
                yield name[1], arguments
                continue
            found, at = decoder.raw_decode(text, at)
            if self.prefix and not isinstance(found, list):
                raise ValueError(text)
            for one in found if self.prefix else [found]:
                if not isinstance(one, dict) or set(one) != {"name", self.arguments}:
                    raise ValueError(text)
                yield one["name"], one[self.arguments]


ARRAY = Form(f'{{"name": "{NAME}", "arguments": ', "}", ", ", "[", "]", of_template=False)
"""What every model is asked for in words, unless its template has a form of its own."""
HERMES = Form(f'<tool_call>\n{{"name": "{NAME}", "arguments": ', "}\n</tool_call>", "\n",
              markers=("<tool_call>", "</tool_call>"))  # fmt: skip
MISTRAL = Form(f'{{"name": "{NAME}", "arguments": ', "}", ", ", "[TOOL_CALLS][", "]", markers=("[TOOL_CALLS]",),
               short_ids=True)  # fmt: skip
MINISTRAL = Form(f"[TOOL_CALLS]{NAME}[ARGS]", "", "", arguments="", markers=("[TOOL_CALLS]", "[ARGS]"),
                 short_ids=True)  # fmt: skip
NEMOTRON = Form(f'{{"name": "{NAME}", "arguments": ', "}", ", ", "<TOOLCALL>[", "]</TOOLCALL>",
                markers=("<TOOLCALL>", "</TOOLCALL>"))  # fmt: skip
LLAMA = Form(f'{{"name": "{NAME}", "parameters": ', "}", "; ", arguments="parameters")
_KNOWN: tuple[tuple[tuple[str, ...], Form], ...] = (
    (("[TOOL_CALLS]", "[ARGS]"), MINISTRAL),
    (("[TOOL_CALLS]",), MISTRAL),
    (("<TOOLCALL>",), NEMOTRON),
    (("<tool_call>",), HERMES),
    (("<|python_tag|>", '"parameters": '), LLAMA),
)
"""What a template writes that has a form; the first that fits counts."""
_FOREIGN = ("<function=", "<arg_key>", "<parameter=")
"""Forms in which arguments are no JSON; a model with one is asked for an array, as one without tools is."""


def form_of(template: str) -> Form:
    """Return the form of a chat template: its own, if it lists tools in one of those that are known here."""
    code = re.sub(r"\{#.*?#\}", "", template, flags=re.DOTALL)
    if not re.search(r"\{[%{][^%}]*\btools\b", code) or any(mark in code for mark in _FOREIGN):
        return ARRAY
    plain = code.replace('\\"', '"')
    return next((form for marks, form in _KNOWN if all(mark in plain for mark in marks)), ARRAY)


def grammar(form: Form, schemas: Mapping[str, str], most: int, special: Collection[str]) -> str:
    """Return the grammar, in the notation of Lark, of 1 to `most` calls of functions.

    Args:
        schemas: of the arguments of each function, by its name, as JSON.
        special: the texts of special tokens. No grammar allows these: markers that are special are left out.
    """
    calls = "call" if most == 1 else f"call ({_literal(form, form.separator, special)} call){{0,{most - 1}}}"
    lines = [f"start: {_literal(form, form.prefix, special)} {calls} {_literal(form, form.suffix, special)}"]
    lines.append("call: " + " | ".join(f"call_{at}" for at in range(len(schemas))))
    for at, (name, schema) in enumerate(schemas.items()):
        head, tail = (_literal(form, part.replace(NAME, name), special) for part in (form.head, form.tail))
        lines += [f"call_{at}: {head} arguments_{at} {tail}", f"arguments_{at}: %json {schema}"]
    return "\n".join(lines) + "\n"


def _literal(form: Form, text: str, special: Collection[str]) -> str:
    """Return `text` as a part of a rule."""
    escaped = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
    kept = "".join(part for part in form.parts(text) if part not in special or part not in form.markers)
    return f'"{kept.translate(escaped)}"'

"""The forms in which models write calls: the one that every model is asked for, and those of chat templates.

A form is known by what a checkpoint's template writes of it. Templates as transformers describes them:
https://huggingface.co/docs/transformers/chat_templating_writing (tools, tool_calls, the role tool).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NAME = "NAME"
"""Stands for the name of a function in `head`."""
_SPACE = r"[ \t\r\n]*"
"""Between the parts of a call: JSON's whitespace."""
_TOKENS = re.compile(rf'"{NAME}"|{NAME}|"[^"]*"|[^\s]')
_WORDS = r"(.|\n)*"


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

    def pattern(self, text: str, names: Sequence[str] = ()) -> str:
        """Return an expression for `text` in an answer, with one of `names`; spaces are free, markers may miss."""
        found, one = [], f"({'|'.join(map(re.escape, names))})"
        for part in self.parts(text):
            if part in self.markers:
                found.append(f"(?:{re.escape(part)})?")
                continue
            for token in _TOKENS.findall(part):
                found.append(re.escape(token).replace(NAME, one))
        return _SPACE + _SPACE.join([*found, ""])

    def heads(self, names: Sequence[str]) -> list[str]:
        """Return all that stands before the arguments of an answer's first call, without spaces.

        One for each function, and one without the markers after the first, which leave nothing where they are special.
        """
        whole = "".join((self.prefix + self.head).split())
        rest = "".join(part for part in self.parts(whole.removeprefix(self.opening)) if part not in self.markers)
        return [head.replace(NAME, name) for name in names for head in (whole, self.opening + rest)]


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


def grammar(form: Form, schemas: Mapping[str, str], most: int, special: Mapping[str, int], *, free: bool) -> str:
    """Return the grammar, in the notation of Lark, of 1 to `most` calls of functions.

    Args:
        schemas: of the arguments of each function, by its name, as JSON.
        special: the ids of special tokens by their texts; a marker that is one stands in the grammar by its id.
        free: an answer may be words instead. Words may stand before calls too where calls begin with a marker; without
            one, calls are those of an answer that begins with the first of them, up to its arguments. A marker that
            is a special token is not spelled in words: it would be read as that token.
    """
    numbers = range(len(schemas))
    more = f"({_literal(form, form.separator, special)} call){{0,{most - 1}}}" if most > 1 else ""
    rest = f"{more} {_literal(form, form.suffix, special)}"
    lines = []
    if not free:
        lines.append(f"start: {_literal(form, form.prefix, special)} call {rest}")
    else:
        opening = "opening " if form.opening else ""
        lines.append(f"start: words | {opening}({' | '.join(f'first_{at}' for at in numbers)}) {rest}")
        spelled = f" & ~/{_WORDS}{_pattern(form.opening)}{_WORDS}/" if form.opening in special else ""
        lines += [f"words: WORDS\nWORDS: /{_WORDS}/{spelled}", *_openings(form, list(schemas), special)]
    lines.append("call: " + " | ".join(f"call_{at}" for at in numbers))
    for at, (name, schema) in enumerate(schemas.items()):
        head, tail = (_literal(form, part.replace(NAME, name), special) for part in (form.head, form.tail))
        lines += [f"call_{at}: {head} arguments_{at} {tail}", f"arguments_{at}: %json {schema}"]
    return "\n".join(lines) + "\n"


def _openings(form: Form, names: Sequence[str], special: Mapping[str, int]) -> list[str]:
    """Return the rules of the first call of an answer that is free until then, and of what tells it from words."""
    lines, tail = list[str](), _literal(form, form.tail, special)
    if form.opening in special:
        lines.append(f"opening: WORDS {_literal(form, form.opening, special)}")
    elif form.opening:
        lines.append(f"opening[lazy]: WORDS {_literal(form, form.opening, special)}")
    for at, name in enumerate(names):
        head = (form.prefix + form.head).replace(NAME, name).removeprefix(form.opening)
        if form.opening:
            lines.append(f"first_{at}: {_literal(form, head, special)} arguments_{at} {tail}")
            continue
        parts = map(_pattern, _TOKENS.findall(head))
        lines += [
            f"head_{at}[lazy]: /{_SPACE}{_SPACE.join(parts)}/",
            f'first_{at}: head_{at} " "? arguments_{at} {tail}',
        ]
    return lines


def _pattern(text: str) -> str:
    """Return `text` as a part of an expression."""
    return re.escape(text).replace("/", r"\/")


def _literal(form: Form, text: str, special: Mapping[str, int]) -> str:
    """Return `text` as a part of a rule."""
    escaped = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
    parts = []
    for part in form.parts(text):
        is_token = part in form.markers and part in special
        parts.append(f"<[{special[part]}]>" if is_token else f'"{part.translate(escaped)}"')
    return " ".join(parts) or '""'

"""Reads the calls out of an answer while it comes in. Knows the form of calls, and nothing of how clients see them."""

from __future__ import annotations

import json
import math
import re
import secrets
from dataclasses import dataclass
from typing import NoReturn

from .wanted import Tools

_LONGEST_BEGINNING = 256  # characters in which an answer shows whether it is made of calls


@dataclass
class Call:
    """A call; `arguments` is the text of a JSON object, so far."""

    id: str
    name: str
    arguments: str = ""


@dataclass(frozen=True)
class CallPiece:
    """What is added to the call number `index`: a text of its arguments, or the call itself, as its first piece."""

    index: int
    arguments: str = ""
    begun: Call | None = None


class CallReader:
    """The calls of one answer.

    Attributes:
        calls: those that have begun.
        whole: whether the last of them has ended, and the list with it.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools, form = tools, tools.form
        self._first = re.compile(form.pattern(form.prefix + form.head) + r"(?=\{)")
        self._next = re.compile(form.pattern(form.tail + form.separator + form.head) + r"(?=\{)")
        self._end = re.compile(form.pattern(form.tail + form.suffix))
        self._beginnings = tuple(form.beginnings(tools.callable))
        self._sure = tools.choice == "required"
        self._plain = False
        self._held = ""
        self._inside = False  # of arguments
        self._depth = 0
        self._quoted = self._escaped = False
        self.calls: list[Call] = []
        self.whole = False

    def push(self, text: str, *, last: bool) -> tuple[str, list[CallPiece]]:
        """Take in the next text; return what of it is an answer in words, and what is added to calls.

        Where the model decides, a text that begins as calls do is held back until its end: only then is it known.
        """
        if self._plain:
            return text, []
        self._held += text
        if self._sure:
            return "", self._read()
        begun = "".join(self._held[:_LONGEST_BEGINNING].split())
        if not any(begun[: len(one)] == one[: len(begun)] for one in self._beginnings):
            self._plain = True
        elif not last:
            return "", []
        elif found := self._all():
            pieces = []
            for name, arguments in found:
                pieces += [self._begin(name), self._add(arguments)]
            self.whole = True
            return "", pieces
        return self._held, []

    def _begin(self, name: str) -> CallPiece:
        self.calls.append(Call(f"call_{secrets.token_hex(12)}", name))
        return CallPiece(len(self.calls) - 1, begun=self.calls[-1])

    def _add(self, arguments: str) -> CallPiece:
        self.calls[-1].arguments += arguments
        return CallPiece(len(self.calls) - 1, arguments)

    def _read(self) -> list[CallPiece]:
        """Return what the text adds; the grammar has made it, so that its form is known."""
        pieces = []
        while self._held:
            if self._inside:
                end = self._end_of_arguments()
                pieces.append(self._add(self._held[:end]))
                self._held = self._held[end:]
            elif head := (self._next if self.calls else self._first).match(self._held):
                pieces.append(self._begin(head[1]))
                self._held = self._held[head.end() :]
                self._inside = True
            else:
                break
        self.whole = bool(self.calls) and not self._inside and bool(self._end.fullmatch(self._held))
        return pieces

    def _end_of_arguments(self) -> int:
        """Return how many characters of the text belong to the object that has begun."""
        for at, char in enumerate(self._held):
            if self._quoted:
                if self._escaped:
                    self._escaped = False
                elif char == "\\":
                    self._escaped = True
                elif char == '"':
                    self._quoted = False
            elif char == '"':
                self._quoted = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if not self._depth:
                    self._inside = False
                    return at + 1
        return len(self._held)

    def _all(self) -> list[tuple[str, str]]:
        """Return the names and arguments of an answer that is made of calls as a whole; none if it is not."""
        try:
            found = list(self._tools.form.read(self._held, _DECODER))
        except (ValueError, RecursionError):
            return []
        if len(found) > self._tools.most_calls:
            return []
        if not all(name in self._tools.callable and isinstance(arguments, dict) for name, arguments in found):
            return []
        return [(str(name), json.dumps(arguments, ensure_ascii=False)) for name, arguments in found]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(number: str) -> float:
    if math.isinf(found := float(number)):
        raise ValueError(f"{number} is too large for a number of JSON's readers")
    return found


_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)

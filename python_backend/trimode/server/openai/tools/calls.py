"""Reads the calls out of an answer while it comes in. Knows the form of calls, and nothing of how clients see them."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from ....text.overlap import overlap
from .wanted import Tools


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
        form = tools.form
        names = tools.callable
        self._first = re.compile(form.pattern(form.prefix + form.head, names) + r"(?=\{)")
        self._next = re.compile(form.pattern(form.tail + form.separator + form.head, names) + r"(?=\{)")
        self._end = re.compile(form.pattern(form.tail + form.suffix))
        self._opening = form.opening
        self._heads = tuple(head + "{" for head in form.heads(names))
        self._calling = tools.choice == "required"
        self._plain = False  # no call can begin any more
        self._said = False  # something but spaces
        self._held = ""
        self._inside = False  # of arguments
        self._depth = 0
        self._quoted = self._escaped = False
        self.calls: list[Call] = []
        self.whole = False

    def push(self, text: str, *, last: bool) -> tuple[str, list[CallPiece]]:
        """Take in the next text; return what of it is an answer in words, and what is added to calls.

        The grammar has made calls, so that their form is known. Where words may come first, what may be the beginning
        of a call is held back until more of it is there; a call of what is none of the functions is words.
        """
        if self._plain:
            return text, []
        self._held += text
        words = "" if self._calling else self._words(last=last)
        return words, self._read() if self._calling else []

    def _words(self, *, last: bool) -> str:
        """Return what of the held text are words; find out whether the rest of it begins calls."""
        held = self._held
        if self._opening:
            words = self._before_marker(last=last)
        else:
            self._calling = self._first.match(held) is not None
            words = "" if self._calling or (not last and self._may_begin_call(held)) else held
            self._plain = bool(words)
        if not self._said and not words.strip() and (self._calling or not last):
            if self._calling:  # spaces wait for words, and are none before calls
                self._held = held[len(words) :]
            return ""
        self._held, self._said = held[len(words) :], True
        return words

    def _before_marker(self, *, last: bool) -> str:
        """Return the words of the held text up to a marker that begins a call, or may still begin one."""
        held = self._held
        at = held.find(self._opening)
        while at >= 0:
            self._calling = self._first.match(held, at) is not None
            if self._calling or (not last and self._may_begin_call(held[at:])):
                return held[:at]
            at = held.find(self._opening, at + 1)
        kept = 0 if last else overlap(held, self._opening, proper=True)
        return held[: len(held) - kept]

    def _may_begin_call(self, text: str) -> bool:
        begun = "".join(text.split())
        return any(head.startswith(begun) for head in self._heads)

    def _begin(self, name: str) -> CallPiece:
        self.calls.append(Call(f"call_{secrets.token_hex(12)}", name))
        return CallPiece(len(self.calls) - 1, begun=self.calls[-1])

    def _add(self, arguments: str) -> CallPiece:
        self.calls[-1].arguments += arguments
        return CallPiece(len(self.calls) - 1, arguments)

    def _read(self) -> list[CallPiece]:
        """Return what the text adds."""
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

"""Special tokens in a text, and marks that tell those that somebody typed from those that a chat template writes.

A special token that is to be plain text stands between two marks, as the hexadecimal digits of its bytes. So it
survives a template, which may trim or cut what it writes. Knows nothing of templates or requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import tokenizers
from tokenizers import models

MARK = "\U0010fffe"
"""A code point that Unicode keeps free for such uses and no text should hold (a noncharacter); one that does has it
doubled."""
_MARKED = re.compile(f"{MARK}([0-9a-f]*){MARK}")
_BETWEEN = "?"  # what is no added token, all of it one token; its name does not matter


class SpecialTokens:
    """Finds the special tokens of a tokenizer in a text, as the tokenizer itself would."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        added = backend.get_added_tokens_decoder()
        # The library's own search, with its rules on spaces and overlaps, and no model for what is between.
        self._finder = tokenizers.Tokenizer(models.WordLevel({_BETWEEN: 0}, unk_token=_BETWEEN))
        if backend.normalizer is not None:
            self._finder.normalizer = backend.normalizer
        self._finder.add_tokens([token for token in added.values() if not token.special])
        self._finder.add_special_tokens([token for token in added.values() if token.special])
        found = {number: self._finder.token_to_id(token.content) for number, token in added.items() if token.special}
        self._ids = {own: number for number, own in found.items()}  # the finder's own numbers
        self._first = {token.content[:1] for token in added.values() if token.special}
        self._as_written = backend.normalizer is None

    def find(self, text: str) -> list[tuple[int, int, int]]:
        """Return start, end and id of each special token in `text`, from left to right."""
        if self._as_written and self._first.isdisjoint(text):
            return []  # most texts have no character that one could begin with
        found = self._finder.encode(text, add_special_tokens=False)
        pieces = zip(found.offsets, found.ids, strict=True)
        return [(start, end, self._ids[own]) for (start, end), own in pieces if own in self._ids]

    def mark(self, text: str, only: Collection[int] | None = None) -> str:
        """Return `text` with its special tokens marked: all, or those of the ids `only`."""
        parts, at = list[str](), 0
        for start, end, number in self.find(text):
            if only is not None and number not in only:
                continue
            name = text[start:end].strip() or text[start:end]  # a token may take the spaces around it along
            start = text.index(name, start)
            parts += [text[at:start].replace(MARK, MARK * 2), MARK, name.encode().hex(), MARK]
            at = start + len(name)
        return "".join([*parts, text[at:].replace(MARK, MARK * 2)])


def in_every_text(change: Callable[[str], str], value: Any) -> Any:
    """Return JSON data with `change` applied to every text in it, keys of objects included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): in_every_text(change, one) for key, one in value.items()}
    if isinstance(value, tuple):  # what a message with pictures says
        return tuple(change(one) if isinstance(one, str) else one for one in value)
    return [in_every_text(change, one) for one in value] if isinstance(value, list) else value


def unmarked(text: str) -> str:
    """Return `text` as it was before it was marked."""
    return _MARKED.sub(lambda found: _plain(found[1]), text) if MARK in text else text


def places(text: str) -> list[tuple[int, int]]:
    """Return, for each character of the unmarked text, where it is in `text`, start and end.

    The characters of a marked token are all in the same place, as if they were one.
    """
    found, at = list[tuple[int, int]](), 0
    for one in _MARKED.finditer(text):
        found += [(place, place + 1) for place in range(at, one.start())]
        found += [one.span()] * len(_plain(one[1]))
        at = one.end()
    return found + [(place, place + 1) for place in range(at, len(text))]


def _plain(digits: str) -> str:
    return bytes.fromhex(digits).decode() if digits else MARK

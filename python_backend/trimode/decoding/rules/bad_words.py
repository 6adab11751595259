"""BadWords: texts that the answer must not hold, however its tokens cut them.

Works on bytes: a token is forbidden where it would complete a word with the decided tokens before and after it. Knows
nothing of tokenizers but what each token stands for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from typing import Protocol

import numpy as np

from ...engines.base import Floats, Ints
from .base import FORBIDDEN, Places


class Spelling(Protocol):
    """What every token of the vocabulary stands for; text/vocabulary.py has it."""

    @property
    def size(self) -> int:
        """How many ids there are."""
        ...

    def of(self, ids: Sequence[int]) -> list[bytes]:
        """Return the bytes that each of `ids` stands for."""
        ...

    def holding(self, part: bytes) -> Ints:
        """Return the ids of tokens in which `part` stands."""
        ...

    def around(self, first: bytes, last: bytes) -> Ints:
        """Return the ids of tokens that begin with `first` and, after that, end with `last`."""
        ...

    def exactly(self, part: bytes) -> Ints:
        """Return the ids of tokens that stand for `part` and nothing else."""
        ...


class BadWords:
    """Forbids the tokens that would complete one of several words in the answer's text."""

    field = "bad_words"
    joint = True

    def __init__(self, words: Sequence[str], spelling: Spelling, hidden: Collection[int], vocab_size: int) -> None:
        """Find the tokens that hold a word by themselves.

        Args:
            hidden: ids that leave nothing in the text.
            vocab_size: how many ids the model has; a tokenizer may have more.
        """
        self._words = [word.encode() for word in words]
        self._longest = max(map(len, self._words))
        self._spelling = spelling
        self._hidden = frozenset(hidden)
        self._vocab_size = vocab_size
        silent = {*hidden, *spelling.exactly(b"").tolist()}
        self._silent = np.array([one for one in sorted(silent) if one < vocab_size], dtype=np.int64)
        self._always = np.unique(np.concatenate([self._shown(spelling.holding(word)) for word in self._words]))
        self._beginning = cache(lambda part: self._shown(spelling.around(part, b"")))
        self._ending = cache(lambda part: self._shown(spelling.around(b"", part)))
        self._exact = cache(lambda part: self._shown(spelling.exactly(part)) if part else self._silent)

    def shape(self, scores: Floats, places: Places) -> None:
        """Forbid what would complete a word."""
        scores[:, self._always] = FORBIDDEN
        for line in range(len(scores)):
            left = self._bytes(places.before(line), backwards=True)
            right = self._bytes(places.after(line), backwards=False)
            for ids in self._completing(left, right):
                scores[line, ids] = FORBIDDEN

    def _completing(self, left: bytes, right: bytes) -> Iterator[Ints]:
        """Yield ids of tokens with which a word stands across `left`, the token and `right`."""
        for word in self._words:
            begun = [size for size in _lengths(word, left[-1:]) if left.endswith(word[:size])] if left else []
            rest = [size for size in range(1, len(word)) if right.startswith(word[size:])] if right else []
            for size in begun:
                yield self._beginning(word[size:])
            for size in rest:
                yield self._ending(word[:size])
            for start in begun:
                yield from (self._exact(word[start:end]) for end in rest if start <= end)

    def _bytes(self, tokens: Iterable[int], *, backwards: bool) -> bytes:
        """Return what the nearest tokens stand for, as far as a word may reach."""
        found: list[bytes] = []
        have = 0
        for token in tokens:
            if token not in self._hidden:
                (piece,) = self._spelling.of([token])
                found.append(piece)
                have += len(piece)
            if have >= self._longest - 1:
                break
        return b"".join(reversed(found) if backwards else found)

    def _shown(self, ids: Ints) -> Ints:
        """Return those of `ids` that the model has and that leave something in the text."""
        return np.array([one for one in ids.tolist() if one not in self._hidden and one < self._vocab_size], np.int64)


def _lengths(word: bytes, last: bytes) -> Iterator[int]:
    """Yield the sizes of proper beginnings of `word` whose last byte is `last`."""
    at = word.find(last, 0, len(word) - 1)
    while at >= 0:
        yield at + 1
        at = word.find(last, at + 1, len(word) - 1)

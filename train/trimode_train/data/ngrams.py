"""N-grams of tokens: which of a held-out text training has shown, and the longest pieces of it.

N-grams are compared by 64-bit hashes (one false hit in about ten million runs). Knows ids; knows no documents.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint16]
Hashes = npt.NDArray[np.uint64]

_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # any odd number
_OF_TOKEN = np.random.default_rng(2026).integers(2**64, size=2**16, dtype=np.uint64)


def hashes(ids: Ids, n: int) -> Hashes:
    """Return the hash of each n-gram of a text, in order: (tokens - n + 1,), none for a text shorter than n."""
    count = max(len(ids) - n + 1, 0)
    result = np.zeros(count, dtype=np.uint64)
    for i in range(n if count else 0):
        result = result * _FACTOR + _OF_TOKEN[ids[i : i + count]]
    return result


class Ngrams:
    """The n-grams of some held-out texts, and which of them training has shown."""

    def __init__(self, texts: list[Ids], n: int) -> None:
        self.n = n
        self._texts = [hashes(text, n) for text in texts]
        self._table = np.unique(np.concatenate([*self._texts, np.zeros(1, dtype=np.uint64)]))  # never empty
        self._shown = np.zeros(len(self._table), dtype=np.bool_)

    def show(self, ids: Ids) -> None:
        """Note that training has this text."""
        given = hashes(ids, self.n)
        at = np.searchsorted(self._table, given).clip(max=len(self._table) - 1)
        self._shown[at[self._table[at] == given]] = True

    def shown(self, text: int) -> npt.NDArray[np.bool_]:
        """Return for each n-gram of text number `text` whether training has it."""
        return self._shown[np.searchsorted(self._table, self._texts[text])]


def copies(shown: npt.NDArray[np.bool_], n: int) -> list[tuple[int, int]]:
    """Return first token and end of the longest pieces of shown n-grams; pieces may overlap by up to n - 2 tokens."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], shown, [False]])))
    return [(int(first), int(end) + n - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def covered(pieces: Iterable[tuple[int, int]]) -> int:
    """Return how many tokens lie in any of the pieces, which are in order."""
    total = last = 0
    for first, end in pieces:
        total += end - max(first, last)
        last = end
    return total

"""Encoded: a picture as the language model reads it. PromptPictures: where in a prompt pictures stand.

Knows nothing of files, of how a picture is encoded, or of how a prompt is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..engines.base import Features, Floats, Ints


class Pixels(Protocol):
    """A picture that was prepared for the tower."""

    @property
    def pixels(self) -> Floats:
        """(3, H, W) float32, normalised; both sides are whole cells."""
        ...

    @property
    def cells(self) -> tuple[int, int]:
        """How many cells it is across and down."""
        ...

    @property
    def digest(self) -> bytes:
        """A digest of the pixels, and of the setting by which they were made: equal ones have equal pixels."""
        ...


@dataclass(frozen=True, eq=False)
class Encoded:
    """What stands for a picture in a prompt.

    Attributes:
        features: (cells, hidden) float32, row by row of cells; do not write to it.
        key: a number below 0 that stands for the picture's content, its size and what encoded it: where two are equal,
            so are their features. It is what the prefix cache sees in place of the pads' id.
    """

    features: Floats
    key: int


@dataclass(frozen=True, eq=False)
class PromptPictures:
    """The pictures of one prompt, in its order.

    Attributes:
        places: (P,) int64, ascending, the positions of all pads in the prompt.
        pictures: what stands for each; all prompts with the same picture share its features.
        ends: (pictures,) int64, how many of `places` are taken by a picture and those before it.
    """

    places: Ints
    pictures: tuple[Encoded, ...]
    ends: Ints

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.pictures)

    @property
    def keys(self) -> tuple[int, ...]:
        """Of each of `places`, the number that stands for its picture."""
        return tuple(one.key for one in self.pictures for _ in range(len(one.features)))

    @classmethod
    def of(cls, prompt: Sequence[int], pad: int, pictures: Sequence[Encoded]) -> PromptPictures | None:
        """Return the pictures of an expanded prompt, whose tokens `pad` take their rows in order; None without any.

        Raises:
            ValueError: the prompt has more or fewer pads than the pictures have rows.
        """
        places = np.flatnonzero(np.asarray(prompt, dtype=np.int64) == pad)
        ends = np.cumsum([len(one.features) for one in pictures], dtype=np.int64)
        rows = int(ends[-1]) if pictures else 0
        if len(places) != rows:
            raise ValueError(f"expected {rows} tokens {pad} for {len(pictures)} pictures, found {len(places)}")
        return cls(places, tuple(pictures), ends) if pictures else None

    def within(self, start: int, count: int) -> Features | None:
        """Return what the model reads in place of embeddings among the `count` tokens from `start` on; None if none."""
        first, last = np.searchsorted(self.places, (start, start + count)).tolist()
        if first == last:
            return None
        rows = []  # of one picture, as a pass usually reads them, nothing is copied
        for one, end in zip(self.pictures, self.ends.tolist(), strict=True):
            begin = end - len(one.features)
            if begin < last and first < end:
                rows.append(one.features[max(first - begin, 0) : last - begin])
        return Features(self.places[first:last] - start, rows[0] if len(rows) == 1 else np.concatenate(rows))

    def keyed(self, tokens: Sequence[int]) -> list[int]:
        """Return a text that begins with the prompt, or a part of it, with its picture's key for each pad's id.

        Two such texts that are equal have equal keys and values in the model's cache.
        """
        found = list(tokens)
        for place, key in zip(self.places.tolist(), self.keys, strict=True):
            if place < len(found):
                found[place] = key
        return found

"""QuadraticPass: the rows of a pass that verifies a draft and makes the next one, whichever part of it is accepted.

Pure functions of sizes: positions, mask and the rows whose logits are asked for. Knows nothing of sequences.
Source: quadratic self-speculation of the released models (`self_spec_generate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..engines.base import Bools, Ints
from .quadratic_shape import QuadraticShape

CACHED_PASSES = 128
"""Passes that are remembered by their sizes: a draft has at most 32, and they shrink one by one at an answer's end."""


@dataclass(frozen=True)
class QuadraticPass:
    """The layout of one pass over H heads and H groups of masks; do not write to its arrays.

    Head j is token j of the draft. It sees the heads up to itself, so it is verified as a causal pass would verify it.
    The masks of group j follow head j. They see the heads up to it and each other, so they draft what comes after it.
    Heads come first, so that the keys and values that stay are neighbours.

    Attributes:
        heads: tokens of the draft that are verified, H.
        masks: (H,) how many masks each group has; 0 where nothing could follow, or where the shape has none.
        offsets: (R,) int64, the position of each row, counted from the first head's; R = H + the sum of `masks`.
        sees: (R, R) bool, query by key.
        want: the rows whose logits are needed: every head, and every mask of a group but its first.
        is_mask: (R,) bool.
    """

    heads: int
    masks: tuple[int, ...]
    offsets: Ints
    sees: Bools
    want: Ints
    is_mask: Bools

    @classmethod
    def of(cls, shape: QuadraticShape, heads: int, remaining: int | None = None) -> QuadraticPass:
        """Return the pass for a draft of `heads` tokens.

        Args:
            remaining: how many tokens after the draft's first may still be given; what lies beyond is left out.
                None leaves nothing out, as the released loop does.
        """
        if remaining is not None and remaining >= heads + shape.most_masks:
            remaining = None  # nothing lies beyond
        return _cut(shape, heads, remaining)

    def drafted(self, group: int) -> slice:
        """Return where among the logits asked for the draft of a group lies.

        A group's first mask stands where its head predicts: the head's prediction is taken there, which is exact.
        """
        before = self.heads + sum(max(count - 1, 0) for count in self.masks[:group])
        return slice(before, before + max(self.masks[group] - 1, 0))


@lru_cache(maxsize=CACHED_PASSES)
def _cut(shape: QuadraticShape, heads: int, remaining: int | None) -> QuadraticPass:
    masks = shape.masks(heads)
    if remaining is not None:
        heads = min(heads, remaining)
        masks = tuple(min(count, remaining - head) for head, count in enumerate(masks[:heads]))
    return _laid_out(heads, tuple(count if count > 1 else 0 for count in masks))


@lru_cache(maxsize=CACHED_PASSES)
def _laid_out(heads: int, masks: tuple[int, ...]) -> QuadraticPass:
    size = heads + sum(masks)
    offsets = np.arange(size)  # (R,), the heads' are right
    sees = np.zeros((size, size), dtype=bool)
    sees[:heads, :heads] = np.tri(heads, dtype=bool)
    wanted = [np.arange(heads)]
    at = heads
    for head, count in enumerate(masks):
        group = slice(at, at + count)
        offsets[group] = head + 1 + np.arange(count)
        sees[group, : head + 1] = True
        sees[group, group] = True
        wanted.append(np.arange(at + 1, at + count))
        at += count
    return QuadraticPass(heads, masks, offsets, sees, np.concatenate(wanted), np.arange(size) >= heads)

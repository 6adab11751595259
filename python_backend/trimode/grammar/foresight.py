"""Foreseen: the masks of a whole draft, which the library gives in one call. Knows nothing of requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from llguidance import LLExecutor, LLMatcher
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask_par_with_draft_tokens

from .lexicon import Bools, Lexicon

_EXECUTOR = LLExecutor(1)  # one thread: the scheduler has no more than one core to spare


class Foreseen(NamedTuple):
    """Masks of the place at which `first` tokens were taken, and of those along `draft`, N tokens.

    Attributes:
        words: (N + 1, ceil(V / 32)) int32, a bit for each id: most places of a draft are never asked for.
    """

    first: int
    draft: tuple[int, ...]
    words: npt.NDArray[np.int32]

    def at(self, taken: int, lexicon: Lexicon, ends: Sequence[int]) -> Bools | None:
        """Return the mask (V,) of the place at which `taken` tokens were taken; None if it is not among these."""
        ahead = taken - self.first
        if not 0 <= ahead < len(self.words):
            return None
        bits = np.unpackbits(self.words[ahead].view(np.uint8), count=lexicon.size, bitorder="little").view(np.bool_)
        accepting = bool(bits[lexicon.end_id])
        bits[lexicon.end_id] = False
        bits[list(ends)] = accepting
        return bits

    def goes_on(self, taken: int, token: int) -> bool:
        """Whether the masks still hold when `token` is taken after `taken` others."""
        ahead = taken - self.first
        return 0 <= ahead < len(self.draft) and self.draft[ahead] == token


NOTHING = Foreseen(0, (), np.zeros((0, 0), dtype=np.int32))


def foresee(at: LLMatcher, lexicon: Lexicon, ends: Sequence[int], draft: Sequence[int], *, first: int) -> Foreseen:
    """Return the masks along as much of `draft` as fits; `at` stays where it is, at the place number `first`."""
    usable = 0
    while usable < len(draft) and draft[usable] < lexicon.size and draft[usable] not in ends:
        usable += 1
    tokens = [int(token) for token in draft[:usable]]
    tokens = tokens[: at.validate_tokens(tokens)]
    if not tokens:  # a draft of the library must not be empty
        return NOTHING
    words = allocate_token_bitmask(len(tokens) + 1, lexicon.size)
    fill_next_token_bitmask_par_with_draft_tokens(_EXECUTOR, [(at, 0, tokens)], words)
    return Foreseen(first, tuple(tokens), words)

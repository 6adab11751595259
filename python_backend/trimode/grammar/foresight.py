"""Foreseen: the masks of a whole draft, which the library gives in one call. Knows nothing of requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from llguidance import LLExecutor, LLMatcher
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask_par_with_draft_tokens

from .lexicon import Lexicon

_EXECUTOR = LLExecutor(1)  # one thread: the scheduler has no more than one core to spare


class Foreseen(NamedTuple):
    """Masks of the place at which `first` tokens were taken, and of those along `draft`, N tokens.

    Attributes:
        words: (N + 1, ceil(V / 32)) int32, a bit for each id: most places of a draft are never asked for. None where no
            mask was asked for yet.
    """

    first: int
    draft: tuple[int, ...]
    words: npt.NDArray[np.int32] | None = None

    def at(self, taken: int) -> bytes | None:
        """Return the library's mask of the place at which `taken` tokens were taken; None if it is not among these."""
        ahead = taken - self.first
        return self.words[ahead].tobytes() if self.words is not None and 0 <= ahead < len(self.words) else None

    def goes_on(self, taken: int, token: int) -> bool:
        """Whether the masks still hold when `token` is taken after `taken` others."""
        ahead = taken - self.first
        return 0 <= ahead < len(self.draft) and self.draft[ahead] == token

    def made(self, at: LLMatcher, lexicon: Lexicon, ends: Sequence[int], taken: int) -> Foreseen:
        """Return the masks from where `at` stands on, `taken` tokens, along as much of the draft as fits.

        `at` stays where it is.
        """
        draft = self.draft[taken - self.first :]
        usable = 0
        while usable < len(draft) and draft[usable] < lexicon.size and draft[usable] not in ends:
            usable += 1
        tokens = [int(token) for token in draft[:usable]]
        tokens = tokens[: at.validate_tokens(tokens)]
        if not tokens:  # a draft of the library must not be empty
            return NOTHING
        words = allocate_token_bitmask(len(tokens) + 1, lexicon.size)
        fill_next_token_bitmask_par_with_draft_tokens(_EXECUTOR, [(at, 0, tokens)], words)
        return Foreseen(taken, tuple(tokens), words)


NOTHING = Foreseen(0, (), np.zeros((0, 0), dtype=np.int32))
"""No draft, and no mask."""

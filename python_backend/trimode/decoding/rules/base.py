"""LogitRule: what a rule of tokens must be, and what it may know of the places that a pass chooses for.

A rule changes logits before a token is chosen and before its probability is taken, in every mode: so a draft, its
verification and a step of one token meet the same rule. Knows no rule and nothing of sequences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import numpy as np

from ...engines.base import Floats, Ints

FORBIDDEN = np.float32(-np.inf)
"""The score of a token that must not be chosen."""


@dataclass(frozen=True)
class Places:
    """The positions that the rows of one pass choose for, and the answer's tokens that are decided around them.

    Attributes:
        indices: (R,) int64, place of each in the answer, its first token being 0.
        token_at: from a place in the answer to the token that is decided there, None where there is none. For a row of
            a verification the draft's tokens before it are decided.
        causal: whether nothing after a place counts: a verification must not look at what the draft says there.
    """

    indices: Ints
    token_at: Callable[[int], int | None]
    causal: bool = False

    def before(self, line: int) -> Iterator[int]:
        """Yield the decided tokens before the place of row `line`, the nearest first, up to the first gap."""
        return self._run(count(int(self.indices[line]) - 1, -1))

    def after(self, line: int) -> Iterator[int]:
        """Yield the decided tokens after the place of row `line`, the nearest first, up to the first gap."""
        return iter(()) if self.causal else self._run(count(int(self.indices[line]) + 1))

    def _run(self, indices: Iterator[int]) -> Iterator[int]:
        for index in indices:
            token = self.token_at(index)
            if token is None:
                return
            yield token


class LogitRule(Protocol):
    """One rule of one request. It may keep what it computed, but its effect depends on its arguments alone."""

    @property
    def field(self) -> str:
        """The field of the request that it comes from."""
        ...

    @property
    def joint(self) -> bool:
        """Whether tokens that one pass chooses at once can break it together.

        Such a rule does nothing but forbid, so that it can be asked again once some of them are decided.
        """
        ...

    def shape(self, scores: Floats, places: Places) -> None:
        """Change `scores` (R, V) float32 in place, a row for each of `places`; FORBIDDEN forbids a token."""
        ...

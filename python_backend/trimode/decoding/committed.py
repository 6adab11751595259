"""Committed: what one pass did to a sequence, as the mode that planned it knows."""

from __future__ import annotations

from typing import NamedTuple

from ..api.counters import FreeDraft


class Committed(NamedTuple):
    """The outcome of one pass.

    Attributes:
        tokens: what became final, in order; may be empty.
        drafted: how many tokens of a draft this pass verified; None where it verified none.
        verified: how many of these it confirmed.
        denoised: whether the pass refined a block, which a client may watch.
        prompt_read: whether the whole prompt is in the cache since this pass.
        free: where the draft came from if no pass made it, else None.
    """

    tokens: list[int]
    drafted: int | None = None
    verified: int = 0
    denoised: bool = False
    prompt_read: bool = False
    free: FreeDraft | None = None


NOTHING = Committed([])
"""A pass after which nothing is final yet, such as a commit to the cache."""

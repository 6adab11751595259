"""Steering: what `auto` knows and has done of one request. Knows nothing of how it chooses."""

from __future__ import annotations

from dataclasses import dataclass, field

from .acceptance import Prior
from .similar_requests import Marks


@dataclass
class Steering:
    """What `auto` knows and has done of one request.

    Attributes:
        prior: what is known of requests like it. marks: of its prompt, by which those are found.
        joined: whether a choice was made for it.
        drafts, gain: length of the drafts chosen for it, 0 for token by token; tokens that a cycle of this should give.
        quiet, patience: tokens decoded one by one since the last draft, and how many until drafting is tried again.
        singles: tokens decoded one by one that are counted in what follows.
        cycles: cycles by choice, such as "self_speculation/16".
        runs: tokens that its next cycle should give, by length of draft; runs_at: the verifications and the stretch of
            the answer that this was worked out for.
        expected_seconds, expected_tokens: what all of them were expected to take and to give; for diffusion, a block.
    """

    prior: Prior
    marks: Marks
    joined: bool = False
    drafts: int = 0
    gain: float = 1.0
    quiet: int = 0
    patience: int = 0
    singles: int = 0
    cycles: dict[str, int] = field(default_factory=dict)
    runs: list[float] = field(default_factory=list)
    runs_at: tuple[float, int] | None = None
    expected_seconds: float = 0.0
    expected_tokens: float = 0.0

"""AutoState: what mode auto knows and has done of one request. Knows nothing of how it chooses."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..decoding.quadratic_shape import QuadraticShape
from .acceptance import DraftStats, Prior
from .similar_requests import Buckets


@dataclass
class AutoState:
    """What mode auto knows and has done of one request.

    Attributes:
        prior: what is known of similar requests. prompt: the buckets of its prompt's tokens, by which those are found.
        stats: what its own drafts and blocks were worth so far.
        joined: whether a choice holds for it.
        drafts: length of the drafts chosen for it, 0 for single tokens.
        shape: of the quadratic passes chosen for it in place of those, None if there are none.
        shape_tokens: tokens that each should give, by tokens of the draft that it verifies.
        cycle_tokens: tokens that a cycle of these should give.
        waited: single tokens since the last draft.
        singles: single tokens that are counted in the fields below.
        cycles: cycles by choice, such as "self_speculation/16".
        runs: tokens that its next cycle should give, by length of draft; runs_at: the verifications for which this
            was worked out.
        free_tokens, free_seconds: what its next verification of a free draft should give and take.
        expected_seconds, expected_tokens: what all of its cycles should have taken and given; for diffusion, a block.
    """

    prior: Prior
    prompt: Buckets
    stats: DraftStats = field(default_factory=DraftStats)
    joined: bool = False
    drafts: int = 0
    shape: QuadraticShape | None = None
    shape_tokens: list[float] = field(default_factory=list)
    cycle_tokens: float = 1.0
    waited: int = 0
    singles: int = 0
    cycles: dict[str, int] = field(default_factory=dict)
    runs: list[float] = field(default_factory=list)
    runs_at: int | None = None
    free_tokens: float = 0.0
    free_seconds: float = 0.0
    expected_seconds: float = 0.0
    expected_tokens: float = 0.0

    def count(self, cycle: str, tokens: float, seconds: float, times: int = 1) -> None:
        """Count cycles of a kind, and what each should have given and taken."""
        self.cycles[cycle] = self.cycles.get(cycle, 0) + times
        self.expected_tokens += times * tokens
        self.expected_seconds += times * seconds

    def expected_runs(self) -> list[float]:
        """Return the expected tokens of a cycle by length of draft."""
        if self.runs_at != self.stats.verifications:
            self.runs, self.runs_at = self.stats.expected_runs(self.prior).tolist(), self.stats.verifications
        return self.runs

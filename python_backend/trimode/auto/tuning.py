"""AutoTuning: the constants of mode auto's model, each with its unit and why it has its value. Knows nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class AutoTuning:
    """The constants of the model that docs/auto.md writes down.

    What calls are timed at the start is in cost_benchmark.py; it says nothing of choices.

    Attributes:
        draft_lengths: tokens; the lengths to choose among. Steps of half and a third: the rate of a length is flat
            around the best one, so that finer ones win less than `margin`.
        margin: relative gain that another choice needs, times the root of the number of requests. A switch pads a call
            to the longest draft, which costs about that; and the best of several estimates promises too much.
        hold_calls: calls over drafts for which a choice is kept, and half the single tokens: two drafts and their
            verifications. What is learnt in fewer changes no choice.
        horizon_tokens: tokens for which what was found is taken to hold: most answers are not longer.
        first_acceptance: chance that a drafted token is right while nothing is known. High, so that drafts are tried:
            one verification shows what they are worth.
        prior_weight: verifications that similar requests count for at each place of a request's own drafts.
        prior_refusals: most refusals that similar requests count for: requests of one kind differ in how often they
            refuse, by about 1 / sqrt(8) of that.
        requests_kept: requests remembered, the latest. More take longer to compare than a pass.
        nearest_requests: most of them that a new one is compared with: fewer say too little of rare places.
        prompt_tokens: tokens of a prompt that it is compared by, the last ones, where the question stands.
        learning_rate: share of the log-ratio observed/expected that the cost curve takes over: ten calls make it right.
        observe_every: steps of which one is timed. Drafts and verifications alternate, so it is odd.
    """

    draft_lengths: tuple[int, ...] = (4, 8, 12, 16, 24, 32, 48, 64)
    margin: float = 0.03
    hold_calls: int = 4
    horizon_tokens: float = 128.0
    first_acceptance: float = 0.9
    prior_weight: float = 3.0
    prior_refusals: float = 8.0
    requests_kept: int = 256
    nearest_requests: int = 6
    prompt_tokens: int = 256
    learning_rate: float = 0.1
    observe_every: int = 3

    def __post_init__(self) -> None:
        """Check what the code relies on."""
        assert self.observe_every % 2 == 1

    def needed(self, requests: int) -> float:
        """Return how many times as fast as the last choice another must be for `requests` requests."""
        return 1.0 + self.margin * sqrt(requests)


TUNING = AutoTuning()
"""The values in use."""

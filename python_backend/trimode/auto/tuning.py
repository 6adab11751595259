"""AutoTuning: the constants of mode auto's model, each with its unit and why it has its value. Knows nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AutoTuning:
    """The constants of the model that docs/auto.md writes down.

    What calls are timed at the start is in cost_benchmark.py; it says nothing of choices.

    Attributes:
        draft_lengths: tokens; the lengths to choose among. Steps of half and a third: the rate of a length is flat
            around the best one, so that finer ones win less than `margin`.
        margin: relative gain that another choice needs, however many requests there are: the best of several estimates
            promises too much. Quadratic passes need it to be chosen, and not to be left.
        hold_calls: calls for which a choice is kept: two drafts and their verifications, as what is learnt in fewer
            changes no choice. Single tokens, which teach nothing of drafts, are kept for twice as many.
        horizon_tokens: tokens of an answer for which what its drafts showed is taken to hold: most are not longer.
        first_acceptance: chance that a drafted token is right while nothing is known. High, so that drafts are tried:
            one verification shows what they are worth.
        prior_weight: verifications that a guess of a chance counts for beside those that were counted at that place.
        prior_refusals: refusals that a guess of how many times as often drafts are refused counts for, at most where
            similar requests showed it: requests of one kind differ in that by about 1 / sqrt(8).
        requests_kept: requests remembered, the latest, one by one and in averages. More take longer to compare than a
            pass.
        nearest_requests: most of them that a new one is compared with: fewer say too little of rare places.
        prompt_tokens: tokens of a prompt that it is compared by, the last ones, where the question stands.
        learning_rate: share of what a call took that estimates of time take over: ten calls make them right.
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


TUNING = AutoTuning()
"""The values in use."""

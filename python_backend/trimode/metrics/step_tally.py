"""StepTally: how many tokens the steps of a loop had, as one thread counts them and another reads them.

A step may last a millisecond: it is counted in place, since a sample of the recorder takes as long as ten of these.
"""

from __future__ import annotations

from bisect import bisect_left

from .table import STEP_SIZES


class StepTally:
    """Steps by their number of tokens.

    Attributes:
        steps: for each bound of STEP_SIZES, how many steps had so many tokens or fewer, and more than the bound before;
            the last entry is of those beyond all bounds.
        tokens: of all steps.
    """

    def __init__(self) -> None:
        self.steps = [0] * (len(STEP_SIZES) + 1)
        self.tokens = 0

    def add(self, tokens: int) -> None:
        """Count a step."""
        self.steps[bisect_left(STEP_SIZES, tokens)] += 1
        self.tokens += tokens

"""A clock that stands still at full learning rate: the result must not depend on the machine's speed."""

from __future__ import annotations

from trimode_train.training.clock import Clock


class StillClock(Clock):
    """Ten seconds of a hundred have passed, whatever the steps take."""

    def __init__(self) -> None:
        super().__init__(budget=100.0, elapsed=10.0)

    def step(self, seconds: float) -> None:
        """Count nothing."""

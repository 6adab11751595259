"""A run's sense of time: it does not count pauses, and it never lets the schedule end after a set hour."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

LONGEST_STEP = 6.0  # seconds; a step that took longer was paused or starved


@dataclass
class Clock:
    """Progress from 0 to 1 over `budget` seconds of steps, or sooner if the wall clock's `until` comes first."""

    budget: float
    until: float | None = None  # seconds since the epoch
    elapsed: float = 0.0
    now: Callable[[], float] = time.time

    def step(self, seconds: float) -> None:
        """Count one step, at most LONGEST_STEP of it."""
        self.elapsed += min(seconds, LONGEST_STEP)

    @property
    def left(self) -> float:
        """Seconds until the schedule ends."""
        left = self.budget - self.elapsed
        if self.until is not None:
            left = min(left, self.until - self.now())
        return max(left, 0.0)

    @property
    def progress(self) -> float:
        """Share of the schedule that is done."""
        total = self.elapsed + self.left
        return 1.0 if total <= 0 else self.elapsed / total

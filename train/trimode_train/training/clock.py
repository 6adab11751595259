"""A run's time: pauses do not count, and the schedule never ends after a set hour. Knows nothing about steps' work."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass

LONGEST_STEP = 6.0  # seconds; a step that took longer was paused, or the machine was busy with other work


def wall_clock(text: str, now: datetime.datetime | None = None) -> float:
    """Return the next time that the clock shows HH:MM, in seconds since the epoch; `now` is for tests."""
    hour, minute = map(int, text.split(":"))
    now = now or datetime.datetime.now()
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (then if then > now else then + datetime.timedelta(days=1)).timestamp()


@dataclass
class Clock:
    """Progress from 0 to 1 over `budget` seconds of steps, or faster if the wall clock reaches `until` first."""

    budget: float
    until: float | None = None  # seconds since the epoch
    elapsed: float = 0.0
    now: Callable[[], float] = time.time

    def step(self, seconds: float) -> None:
        """Count one step, as at most LONGEST_STEP seconds."""
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
        """The share of the schedule that is done."""
        total = self.elapsed + self.left
        return 1.0 if total <= 0 else self.elapsed / total

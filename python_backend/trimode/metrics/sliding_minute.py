"""SlidingMinute: how much of something there was in the last minute, exactly. Knows no clock, callers or requests."""

from __future__ import annotations

from collections import deque

MINUTE = 60.0  # seconds


class SlidingMinute:
    """Amounts of the last minute. Holds one entry for each `add` in it."""

    def __init__(self) -> None:
        self._added: deque[tuple[float, int]] = deque()  # (when, amount), the oldest first
        self._total = 0

    def add(self, amount: int, now: float) -> None:
        """Count `amount` at `now`, in seconds of a clock that does not go back."""
        self._added.append((now, amount))
        self._total += amount

    def total(self, now: float) -> int:
        """Return what was added in the minute before `now`."""
        while self._added and now - self._added[0][0] >= MINUTE:
            self._total -= self._added.popleft()[1]
        return self._total

    def seconds_until_below(self, limit: int, now: float) -> float:
        """Return how long nothing must be added until the total is below `limit`, which is above 0; 0 if it is."""
        left, seconds = self.total(now), 0.0
        for when, amount in self._added:
            if left < limit:
                break
            left -= amount
            seconds = when + MINUTE - now
        return seconds

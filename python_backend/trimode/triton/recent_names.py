"""Names heard of late: each is kept for some seconds, the oldest go first when there are too many.

Not thread-safe; knows nothing of what the names stand for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

KEPT_SECONDS = 10.0
KEPT_NAMES = 4096


class RecentNames:
    """A set that forgets; the empty name is never in it."""

    def __init__(
        self, seconds: float = KEPT_SECONDS, most: int = KEPT_NAMES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._heard: dict[str, float] = {}  # name -> when; the oldest first

    def __contains__(self, name: str) -> bool:
        self._forget()
        return name in self._heard

    def add(self, name: str) -> None:
        """Keep `name` from now on for a while."""
        self._heard.pop(name, None)
        if name:
            self._heard[name] = self._clock()
        self._forget()

    def take(self, name: str) -> bool:
        """Return whether `name` is kept, and keep it no longer."""
        self._forget()
        return self._heard.pop(name, None) is not None

    def _forget(self) -> None:
        oldest_allowed = self._clock() - self._seconds
        while self._heard:
            name, heard = next(iter(self._heard.items()))
            if heard >= oldest_allowed and len(self._heard) <= self._most:
                return
            del self._heard[name]

"""Names seen in the last seconds; when there are too many, the oldest are forgotten first.

Not thread-safe; knows nothing of what the names stand for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

KEPT_SECONDS = 10.0  # far longer than a cancellation overtakes its request by, or comes after its end
KEPT_NAMES = 4096  # more than the requests of that time; bounds the memory that callers can fill


class RecentNames:
    """A set whose names expire; the empty name is never in it."""

    def __init__(
        self, seconds: float = KEPT_SECONDS, most: int = KEPT_NAMES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._seen: dict[str, float] = {}  # name -> the second it was added; the oldest first

    def __contains__(self, name: str) -> bool:
        self._forget()
        return name in self._seen

    def add(self, name: str) -> None:
        """Keep `name`, from now on, until it expires."""
        self._seen.pop(name, None)
        if name:
            self._seen[name] = self._clock()
        self._forget()

    def take(self, name: str) -> bool:
        """Return whether `name` is kept, and remove it."""
        self._forget()
        return self._seen.pop(name, None) is not None

    def _forget(self) -> None:
        oldest_allowed = self._clock() - self._seconds
        while self._seen:
            name, seen = next(iter(self._seen.items()))
            if seen >= oldest_allowed and len(self._seen) <= self._most:
                return
            del self._seen[name]

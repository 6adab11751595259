"""TokenBudgets: how many tokens each caller had in the last minute, and who has to wait for more.

Prompts and answers count, when an answer ends in whatever way: what a request will take is not known before. So a
caller may go above its rate by what it had running, and then waits for as much longer. Knows callers by name.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..errors import RateLimitedError
from ..metrics.sliding_minute import MINUTE, SlidingMinute


class TokenBudgets:
    """Counts tokens by caller. Thread-safe: requests come by one thread and end on another."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._used: dict[str, SlidingMinute] = {}  # of callers with a rate that had tokens in the last two minutes
        self._swept = clock()

    def check(self, caller: str, rate: int) -> None:
        """Refuse a request of a caller that may have `rate` tokens a minute and had as many.

        Raises:
            RateLimitedError: the caller has to wait.
        """
        with self._lock:
            now = self._clock()
            used = self._used.get(caller)
            if used is not None and (had := used.total(now)) >= rate:
                raise RateLimitedError("tokens_per_minute", rate, had, used.seconds_until_below(rate, now))

    def use(self, caller: str, tokens: int) -> None:
        """Count the tokens of a request that ended."""
        with self._lock:
            now = self._clock()
            if now - self._swept >= MINUTE:
                self._swept = now
                self._used = {name: used for name, used in self._used.items() if used.total(now)}
            self._used.setdefault(caller, SlidingMinute()).add(tokens, now)

"""Until: how long the pictures of one request may be worked on, and whether anybody still waits for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import CancelledError, DeadlineError

PICTURE_SECONDS = 30.0
"""Seconds that all pictures of a request may take together: eight of 7 MiB each at 2 MiB a second."""
MOMENT = 0.1
"""Seconds between two looks at whether a request was cancelled, while something else is waited for."""


def never() -> bool:
    """Return that a request was not cancelled, as of one that cannot be."""
    return False


@dataclass(frozen=True)
class Until:
    """Heard by everything that is done for a request's pictures.

    Attributes:
        deadline: in seconds of time.monotonic().
        cancelled: whether nobody waits for the answer any more; called by the thread that works.
        of_request: the deadline is the request's own, earlier than that of pictures.
    """

    deadline: float
    cancelled: Callable[[], bool] = never
    of_request: bool = False

    @classmethod
    def of(cls, deadline: float | None = None, cancelled: Callable[[], bool] = never) -> Until:
        """Return PICTURE_SECONDS from now, or a request's own deadline where that is earlier."""
        latest = time.monotonic() + PICTURE_SECONDS
        if deadline is not None and deadline < latest:
            return cls(deadline, cancelled, of_request=True)
        return cls(latest, cancelled)

    @property
    def limit(self) -> str:
        """What the deadline allows, for errors."""
        return "within the request's timeout" if self.of_request else f"within {PICTURE_SECONDS:g} s in all"

    def check(self) -> None:
        """Return if there is time left and somebody waits.

        Raises:
            CancelledError: nobody waits any more.
            DeadlineError: the time is over.
        """
        if self.cancelled():
            raise CancelledError
        if time.monotonic() >= self.deadline:
            raise DeadlineError(f"the pictures of a request must be ready {self.limit}, and were not")

    def moment(self) -> float:
        """Return for how many seconds to wait before the next `check`, above 0; raises what that does."""
        self.check()
        return max(min(MOMENT, self.deadline - time.monotonic()), 0.001)

    @contextmanager
    def holding(self, turn: threading.Lock | threading.Semaphore) -> Iterator[None]:
        """Wait for a turn, have it within the block; raises what `check` does."""
        while not turn.acquire(timeout=self.moment()):
            pass
        try:
            yield
        finally:
            turn.release()

"""The time that gpu-check has: one end for all parts, a share for each, and a note of what was cut.

A part asks between its steps whether its share is over. One whose step goes on is cut by a signal a little later, or at
the end of all, so that no part takes the time of those after it. A library's call that never returns is not cut.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

GRACE = 20.0
"""Seconds that the step of a part may go on behind the part's share."""
USED = 0.97
"""The share of the time that parts may use; the rest is for starting and for writing what was found."""


class StoppedError(BaseException):
    """The time of a part is over. No Exception, so that no part takes it for a fault of an engine."""


@dataclass(frozen=True)
class Part:
    """A part's time. until: when its share is over, by `clock`; None for no end."""

    until: float | None = None
    clock: Callable[[], float] = time.monotonic

    def left(self) -> float:
        """Return the seconds that are left; infinite without an end."""
        return float("inf") if self.until is None else max(0.0, self.until - self.clock())

    def over(self) -> bool:
        """Whether the share is over."""
        return self.left() <= 0

    def check(self) -> None:
        """Raise StoppedError if the share is over."""
        if self.over():
            raise StoppedError

    def before(self, step: Callable[[], Any]) -> Callable[[], None]:
        """Return what asks whether the share is over, then takes `step`."""

        def take() -> None:
            self.check()
            step()

        return take


Work = Callable[[Part], None]
Plan = Sequence[tuple[str, float, Work]]
"""The name of each part, its weight against the others, and what it does."""


@dataclass
class Budget:
    """What all parts have together.

    Attributes:
        minutes: for all of them; None for no end. They count from the moment that this was made.
        stopped: what was cut, by the part's name; a part that ends takes its note away.
    """

    minutes: float | None = None
    stopped: dict[str, str] = field(default_factory=dict)
    clock: Callable[[], float] = time.monotonic
    until: float | None = field(init=False)

    def __post_init__(self) -> None:
        self.until = None if self.minutes is None else self.clock() + 60 * USED * self.minutes

    def has_time(self) -> bool:
        """Whether anything is left."""
        return self.until is None or self.clock() < self.until

    def run(self, plan: Plan, write: Callable[[], Any]) -> None:
        """Run the parts in their order; call `write` after each.

        A part has its weight's share of what is left, so that what others leave is for those after them.
        """
        for number, (name, weight, work) in enumerate(plan):
            share = weight / sum(one[1] for one in plan[number:])
            began = self.clock()
            until = None if self.until is None else began + share * max(0.0, self.until - began)
            try:
                part = Part(until, self.clock)
                part.check()
                with _alarm(None if self.until is None else min(part.left() + GRACE, self.until - began)):
                    work(part)
            except StoppedError:
                self.stopped[name] = f"stopped after {self.clock() - began:.0f} s"
                print(f"gpu-check: {name}: {self.stopped[name]}; the next run goes on", file=sys.stderr)
            else:
                self.stopped.pop(name, None)
            write()


@contextmanager
def _alarm(seconds: float | None) -> Iterator[None]:
    """Raise StoppedError in the block after `seconds`, in the main thread alone, as signals are for no other."""
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise StoppedError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

"""Signals that end a fleet: the first one begins its end, and during it they wait. Knows nothing of servers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def interrupt(number: int, frame: FrameType | None) -> None:
    """Begin to end, at the first signal that asks for it; those after it change nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def held_back(signals: set[signal.Signals]) -> Iterator[None]:
    """Let signals wait until the end of a context. Only the main thread may do so.

    Their handlers are replaced, since a mask would hold for one thread alone, and the kernel may choose another.
    """
    came: set[int] = set()
    before = {one: signal.signal(one, lambda number, _: came.add(number)) for one in signals}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        for number in came:
            signal.raise_signal(number)

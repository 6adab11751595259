"""A long run on the terminal: its bar with the time left, its rounds, and the exit status that it ends with.

Works without rich too, as a GPU machine may have none: then, and where no one watches, it prints a line now and then.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeVar

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 10.0


class MeasureError(Exception):
    """Something cannot be measured here; the text says why."""


class Bar:
    """What a measurement says of how far it is, to `show(done, text)`."""

    def __init__(self, text: str, show: Callable[[float, str], None]) -> None:
        self._done, self._text, self._show = 0.0, text, show

    def step(self, text: str | None = None, count: float = 1) -> None:
        """Say that `count` more are done, and of what."""
        self.at(self._done + count, text)

    def at(self, done: float, text: str | None = None) -> None:
        """Say how much is done of the total, and of what."""
        self._done, self._text = done, text or self._text
        self._show(done, self._text)


@contextmanager
def progress(total: float = 1.0, text: str = "starting") -> Iterator[Bar]:
    """Show one bar on stderr until the block ends, however it ends."""
    if not sys.stderr.isatty() or find_spec("rich") is None:
        yield Bar(text, _lines(total))
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (bars.TextColumn("{task.description:44}"), bars.BarColumn(), bars.TaskProgressColumn())
    times = (bars.TimeElapsedColumn(), bars.TimeRemainingColumn())
    with bars.Progress(*columns, *times, console=Console(stderr=True)) as shown:
        task = shown.add_task(text, total=total)
        yield Bar(text, lambda done, name: shown.update(task, completed=min(done, total), description=name))


def _lines(total: float) -> Callable[[float, str], None]:
    said, ended = time.monotonic(), False

    def show(done: float, text: str) -> None:
        nonlocal said, ended
        if ended or (done < total and time.monotonic() - said < SECONDS_BETWEEN_LINES):
            return
        said, ended = time.monotonic(), done >= total
        print(f"{text}: {done / total:.0%}", file=sys.stderr, flush=True)

    return show


@dataclass
class Pace:
    """Rounds until `seconds` have passed; `progress` takes the share of them that has."""

    seconds: float
    progress: Callable[[float], None] = lambda share: None

    def rounds(self, least: int, warm_up: int = 1) -> Iterator[int]:
        """Yield the number of each round, at least 1 to `least`; those that warm up have numbers below 1."""
        self.began, number = time.perf_counter(), 1 - warm_up
        while number <= least or time.perf_counter() - self.began < self.seconds:
            yield number
            number += 1
        self.progress(1.0)

    def shuffled(self, calls: Sequence[T], least: int, warm_up: int = 1) -> Iterator[tuple[int, T]]:
        """Yield each of `calls` in every round, in an order shuffled with a fixed seed, with the round's number."""
        order, shuffle = list(calls), random.Random(0).shuffle
        for number in self.rounds(least, warm_up):
            shuffle(order)
            for call in order:
                yield number, call
                self.show()

    def show(self) -> None:
        """Show how much of the time has passed; the last round may end late."""
        self.progress(min(0.99, (time.perf_counter() - self.began) / self.seconds))


def run(
    name: str,
    work: Callable[[], int],
    *errors: type[Exception],
    kept: Callable[[], str] = lambda: "nothing was written",
) -> int:
    """Return the status of `work`: 1 if it raises one of `errors` or the system refuses something, 130 if interrupted.

    A signal to terminate counts as Ctrl-C; `kept` says what is there then. Any other error is a defect, and raised.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    expected: tuple[type[Exception], ...] = (MeasureError, OSError, *errors)
    began = time.monotonic()
    try:
        status = work()
    except KeyboardInterrupt:
        print(f"{name}: interrupted; {kept()}", file=sys.stderr)
        return 130
    except expected as exc:
        print(f"{name}: {exc}", file=sys.stderr)
        return 1
    print(f"{name}: {time.monotonic() - began:.0f} s")
    return status

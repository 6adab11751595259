"""A long run on the terminal: its bar with the time left, and the exit status that it ends with.

Works without rich too, as a GPU machine may have none: then, and where no one watches, it prints a line now and then.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

SECONDS_BETWEEN_LINES = 10.0


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
    said = time.monotonic()

    def show(done: float, text: str) -> None:
        nonlocal said
        if done >= total or time.monotonic() - said >= SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            print(f"{text}: {done / total:.0%}", file=sys.stderr, flush=True)

    return show


def run(name: str, work: Callable[[], int], *errors: type[Exception]) -> int:
    """Return the status of `work`: 1 if it raises one of `errors` or a system's error, 130 if it is interrupted.

    A signal to terminate counts as Ctrl-C. `work` writes what it found at its end only.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    expected: tuple[type[Exception], ...] = (OSError, ImportError, ValueError, *errors)
    began = time.monotonic()
    try:
        status = work()
    except KeyboardInterrupt:
        print(f"{name}: interrupted; nothing was written", file=sys.stderr)
        return 130
    except expected as exc:
        print(f"{name}: {exc}", file=sys.stderr)
        return 1
    print(f"{name}: {time.monotonic() - began:.0f} s")
    return status

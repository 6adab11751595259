"""How far a step is: a bar on a terminal, elsewhere a line each few seconds; and its memory. Knows no step."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

LINE_SECONDS = 5.0
"""Seconds between two lines where there is no terminal: quick steps print none, and logs stay short."""
MEGA = 1_000_000  # bytes


@contextmanager
def progress(console: Console, title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many of `total` bytes are done; yield the function that advances it by a number of bytes."""
    if not console.is_terminal:
        done, line = 0, _Lines(console)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            line.say(f"{title}: {done // MEGA:,} of {total // MEGA:,} MB")

        yield advance
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)


@contextmanager
def phases(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Show the compiler's phases; yield the function (phase, steps done, steps)."""
    if not console.is_terminal:
        line = _Lines(console)
        yield lambda phase, done, total: line.say(f"compiling: {phase}: {done} of {total}")
        return
    with console.status("compiling") as status:
        yield lambda phase, done, total: status.update(f"{phase}: {done} of {total}")


class _Lines:
    """Prints what it is given, but not more than a line each LINE_SECONDS."""

    def __init__(self, console: Console) -> None:
        self.console, self.last = console, time.monotonic()

    def say(self, text: str) -> None:
        now = time.monotonic()
        if now - self.last >= LINE_SECONDS:
            self.last = now
            self.console.print(text, markup=False)


def peak_memory() -> int:
    """Return this process's largest resident size in bytes.

    Reads /proc where there is one: getrusage also counts the memory of the parent before it started this process.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

"""The measurement in processes of its own, and within a time limit.

A kernel that no GPU has run may end the process that runs it, spoil its CUDA, or never end: the others' results stay.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Collection, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from ..device import Device
from .measure import Place, SpoiledError, Work, measure, place

GROUPS = (("capacity", "longest", "each row"), ("lengths",), ("flex",))
"""What runs in one process, in the order of worth: torch's own kernels together, the others each alone."""
PATIENCE = 20.0
"""Seconds within which a group has its first row, if it is no fault of its own: imports and compiling take some."""
LATE = "the time was over; the next run goes on"
"""Why a way has no row that had no time."""
Message = tuple[str, Any]
"""From a process: ("way", its name) before each, ("row", it), ("ended" or "again", None) last; or ("died", status)."""


def measured(
    kind: str, work: Work, done: Collection[Place], seconds: float, groups: Sequence[Sequence[str]] = GROUPS
) -> Iterator[dict[str, Any]]:
    """Yield the rows of `measure` for a device of a kind; what is not there after `seconds` is not measured.

    Each group has the share of its ways of the time that is left, so that one that hangs leaves the others theirs.
    """
    until = time.monotonic() + seconds
    asked = [left for group in groups if (left := _unfinished(group, work, done))]
    for number, group in enumerate(asked):
        rest = max(0.0, until - time.monotonic())
        share = rest * len(group) / sum(map(len, asked[number:]))
        yield from _rows_of(group, kind, work, done, max(share, min(rest, PATIENCE)))


def _unfinished(group: Sequence[str], work: Work, done: Collection[Place]) -> list[str]:
    return [name for name in group if any(place(name, shape) not in done for shape in work.shapes())]


def _rows_of(
    group: Sequence[str], kind: str, work: Work, done: Collection[Place], seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield a group's rows, from one process, or from another for the rest after a fault that spoiled its CUDA."""
    until, left, past, silent = time.monotonic() + seconds, list(group), list(done), True
    while left and time.monotonic() < until:
        word = ""
        for word, value in _messages(left, kind, work, past, until):
            if word == "way":
                left = left[left.index(value) :]
            elif word == "row":
                silent = False
                past.append((value["variant"], value.get("rows", 0), value.get("tokens", 0), value.get("length", 0)))
                yield value
            elif word == "died":
                yield {"variant": left[0], "failed": f"its process ended with status {value}"}
        if word in ("ended", "died"):
            return
        if word != "again":
            break
        left = _unfinished(left, work, past)
    if left and silent and seconds >= PATIENCE:
        yield {"variant": left.pop(0), "failed": f"nothing came of it within {seconds:.0f} s"}
    for name in left:
        yield {"variant": name, "skipped": LATE}


def _messages(group: Sequence[str], kind: str, work: Work, done: Collection[Place], until: float) -> Iterator[Message]:
    """Yield what a process sends until its last word, its end or `until`; it is ended then."""
    receive, process = _started(group, kind, work, done)
    try:
        while receive.poll(max(0.0, until - time.monotonic())):
            message = receive.recv()
            yield message
            if message[0] in ("ended", "again"):
                return
    except EOFError:
        process.join()
        yield "died", process.exitcode
    finally:
        process.kill()
        process.join()
        receive.close()


def _started(
    group: Sequence[str], kind: str, work: Work, done: Collection[Place]
) -> tuple[Connection, multiprocessing.process.BaseProcess]:
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(send, group, kind, work, list(done)))
    process.start()
    send.close()
    return receive, process


def _measure(send: Connection, group: Sequence[str], kind: str, work: Work, done: Collection[Place]) -> None:
    """Send the messages of a group."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's, which ends this process
    device = Device.open(kind)
    with contextlib.suppress(BrokenPipeError):
        try:
            for name in group:
                send.send(("way", name))
                for row in measure([name], work, device, done):
                    send.send(("row", row))
        except SpoiledError:
            send.send(("again", None))
        else:
            send.send(("ended", None))  # what happens while the process ends is no way's fault

"""Waiting for states and for processes to end. Knows nothing of servers and routers."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

POLL_SECONDS = 0.05
KILLED_SECONDS = 60.0  # until a process that was killed is gone: a machine may stall
LOG_CHARACTERS = 800  # of a log's end, in an error


class FleetError(Exception):
    """A server or the router did not do what it should; the text says which, and has the end of its log."""


def wait(true: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> None:
    """Wait until a state is reached.

    Raises:
        FleetError: it is not within `seconds`; `otherwise` gives the text.
    """
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise FleetError(otherwise())
        time.sleep(POLL_SECONDS)


def end(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a process that was asked to end; kill it with its group where it does not.

    The process must lead its group, as one that was started in a session of its own does.

    Returns:
        whether it ended by itself within `seconds`.
    """
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(KILLED_SECONDS)
        return False


def end_of(log: Path) -> str:
    """Return the end of a log."""
    return log.read_text(encoding="utf-8", errors="replace")[-LOG_CHARACTERS:] if log.exists() else "no log"

"""Signals: what signals ask this process for, from its first moment on. Knows no server, only what it hands them to."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable

TERMINAL = "/dev/tty"  # of a process that was started in one


class Signals:
    """Keeps what was asked for until somebody takes it, since a process may be asked to end before it serves.

    Attributes:
        stopping: set once the process was asked to end; threads that take long look at it.
    """

    def __init__(self) -> None:
        """Listen from now on, in the loop that runs."""
        self.stopping = threading.Event()
        self._renew_asked = False
        self._on_stop: Callable[[], None] | None = None
        self._on_renew: Callable[[], None] | None = None
        self._had_terminal = has_terminal()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGINT, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def hand_to(self, stop: Callable[[], None], renew: Callable[[], None]) -> None:
        """Call `stop` at each signal that asks for an end, and `renew` at each other SIGHUP; those before count too."""
        self._on_stop, self._on_renew = stop, renew
        if self._renew_asked:
            renew()
        if self.stopping.is_set():
            stop()

    def _stop(self) -> None:
        self.stopping.set()
        if self._on_stop is not None:
            self._on_stop()

    def _hang_up(self) -> None:
        if self._had_terminal and not has_terminal():
            self._stop()
        elif self._on_renew is not None:
            self._on_renew()
        else:
            self._renew_asked = True


def has_terminal() -> bool:
    """Whether this process runs in a terminal that is there: where one was closed, SIGHUP asks a program to end."""
    try:
        os.close(os.open(TERMINAL, os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True

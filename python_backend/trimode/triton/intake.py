"""Intake: prepares requests that take long to prepare, in threads of its own, usually one, callers in turn.

A chat template or a grammar may take seconds, and Triton hands over no other request while `execute` runs. Knows no
requests; whose turn it is, scheduling/turns.py says.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ..errors import CancelledError, OverloadedError
from ..scheduling.job import Claim
from ..scheduling.turns import Turns, makes_room

logger = logging.getLogger(__name__)

MOST_WAITING = 256
"""Requests that may wait, unless less is said; usually they take some milliseconds each. More than the queue and all
slots hold."""
NOBODY = Claim()
STOPPING = "the server is stopping"
JOIN_SECONDS = 5.0  # for the request that is being prepared when the server ends


@dataclass(eq=False)
class _Task:
    """A request that waits: what prepares and queues it, what refuses it, whose it is.

    Attributes:
        came: by time.monotonic().
        arrival: its place in the order of arrival. begun: never; what is prepared is done at once.
    """

    submit: Callable[[], None]
    refuse: Callable[[Exception], None]
    claim: Claim
    came: float = field(default_factory=time.monotonic)
    arrival: int = 0
    begun: bool = False

    @property
    def request(self) -> int:
        """A number of its own."""
        return id(self)


def _nobody_cares(leave: Callable[[], None]) -> None:
    """Let a request wait until its turn comes."""


class Intake:
    """Runs until `close`."""

    def __init__(
        self, waits_for: str, most_seconds: float = math.inf, threads: int = 1, places: int = MOST_WAITING
    ) -> None:
        """Start the threads.

        Args:
            waits_for: what errors call that for which requests wait.
            most_seconds: after so many seconds of waiting a request is refused when its turn comes.
            threads: requests that are prepared at once.
            places: requests that may wait.
        """
        self._waits_for, self._most_seconds, self._places = waits_for, most_seconds, places
        self._changed = threading.Condition()  # guards the next three
        self._tasks: list[_Task] = []
        self._turns = Turns()
        self._closed = False
        run = partial(threading.Thread, target=self._run, name="trimode-intake", daemon=True)
        self._threads = [run() for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def put(
        self,
        submit: Callable[[], None],
        refuse: Callable[[Exception], None],
        claim: Claim = NOBODY,
        waits: Callable[[Callable[[], None]], None] = _nobody_cares,
    ) -> None:
        """Let `submit` be called when it is the turn of `claim`; what it raises is given to `refuse`.

        Where too many wait, the caller with the most of them makes room for one with fewer.

        Args:
            waits: gets, before it waits, what ends the wait: the place is free at once, and a CancelledError is given
                to `refuse`. It does nothing once the wait is over.

        Raises:
            OverloadedError: too many wait, and nobody makes room.
            CancelledError: the intake was closed.
        """
        task, too_many = _Task(submit, refuse, claim), f"{self._places} requests wait for {self._waits_for}"
        waits(partial(self._leave, task))
        with self._changed:
            if self._closed:
                raise CancelledError(STOPPING)
            displaced = makes_room(task, self._tasks, ()) if len(self._tasks) >= self._places else []
            if len(self._tasks) >= self._places and not displaced:
                raise OverloadedError(f"{too_many}, as many as may; try again")
            self._tasks = [one for one in self._tasks if one not in displaced]
            self._turns.arrived([task], begun=False)
            self._tasks.append(task)
            self._changed.notify()
        for one in displaced:
            _refuse(one, OverloadedError(f"{too_many}, and this one made room for a caller with fewer; try again"))

    def close(self) -> None:
        """Refuse what waits, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        until = time.monotonic() + JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0.0))

    def _leave(self, task: _Task) -> None:
        """End the wait of a task, if it still waits."""
        with self._changed:
            if task not in self._tasks:
                return
            self._tasks.remove(task)
        _refuse(task, CancelledError())

    def _next(self) -> _Task | None:
        """Wait for a task and return the one whose turn it is; None once all is closed and none is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._tasks or self._closed)
            task = self._turns.next(self._tasks, ())
            if task is not None:
                self._tasks.remove(task)
                self._turns.served(task, self._tasks)
            return task

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                if self._closed:
                    raise CancelledError(STOPPING)
                if (waited := time.monotonic() - task.came) > self._most_seconds:
                    limit = f"at most {self._most_seconds:g} s may be waited for {self._waits_for}"
                    raise OverloadedError(f"{limit}, and it took {waited:.0f} s; try again")
                task.submit()
            except Exception as exc:
                _refuse(task, exc)
            del task  # it holds its request, and the next one may come late


def _refuse(task: _Task, cause: Exception) -> None:
    """Refuse a task; what that raises is logged, since others are still to be answered."""
    try:
        task.refuse(cause)
    except Exception:
        logger.exception("a request that waited could not be refused")

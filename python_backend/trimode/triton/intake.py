"""Intake: queues requests that take long to prepare, in a thread of its own, one after another.

A chat template or a grammar may take seconds, and Triton hands over no other request while `execute` runs. Knows no
requests.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable

from ..errors import CancelledError, OverloadedError

MOST_WAITING = 256
"""Requests that may wait here; usually they take some milliseconds each. More than the queue and all slots hold."""
JOIN_SECONDS = 5.0  # for the request that is being prepared when the server ends

Task = tuple[Callable[[], None], Callable[[Exception], None], float]
"""What prepares and queues a request, what refuses it, and when it came, by time.monotonic()."""


class Intake:
    """Runs until `close`."""

    def __init__(self, waits_for: str, most_seconds: float = math.inf) -> None:
        """Start the thread.

        Args:
            waits_for: what errors call that for which requests wait.
            most_seconds: after so many seconds of waiting a request is refused when its turn comes.
        """
        self._waits_for, self._most_seconds = waits_for, most_seconds
        self._tasks: queue.Queue[Task | None] = queue.Queue(MOST_WAITING)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="trimode-intake", daemon=True)
        self._thread.start()

    def put(self, submit: Callable[[], None], refuse: Callable[[Exception], None]) -> None:
        """Let `submit` be called; what it raises is given to `refuse`.

        Raises:
            OverloadedError: too many wait.
        """
        try:
            self._tasks.put_nowait((submit, refuse, time.monotonic()))
        except queue.Full as exc:
            raise OverloadedError(f"{MOST_WAITING} requests wait for {self._waits_for}") from exc

    def close(self) -> None:
        """Refuse what waits, and end."""
        self._closed = True
        self._tasks.put(None)
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            submit, refuse, came = task
            try:
                if self._closed:
                    raise CancelledError("the server is stopping")
                if (waited := time.monotonic() - came) > self._most_seconds:
                    limit = f"at most {self._most_seconds:g} s may be waited for {self._waits_for}"
                    raise OverloadedError(f"{limit}, and it took {waited:.0f} s; try again")
                submit()
            except Exception as exc:
                refuse(exc)

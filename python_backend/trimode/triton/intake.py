"""Intake: queues requests whose prompt a chat template renders, in a thread of its own, one after another.

A template may take seconds, and Triton hands over no other request while `execute` runs. Knows no requests.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from ..errors import CancelledError, OverloadedError

MOST_WAITING = 256
"""Requests that may wait to be rendered, which takes a millisecond each; more than the queue and all slots hold."""
JOIN_SECONDS = 5.0  # for the request that is being rendered when the server ends

Task = tuple[Callable[[], None], Callable[[Exception], None]]


class Intake:
    """Runs until `close`."""

    def __init__(self) -> None:
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
            self._tasks.put_nowait((submit, refuse))
        except queue.Full as exc:
            raise OverloadedError(f"{MOST_WAITING} requests wait for the chat template") from exc

    def close(self) -> None:
        """Refuse what waits, and end."""
        self._closed = True
        self._tasks.put(None)
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            submit, refuse = task
            try:
                if self._closed:
                    raise CancelledError("the server is stopping")
                submit()
            except Exception as exc:
                refuse(exc)

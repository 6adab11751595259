"""Outbox: the thread that hands chunks to whoever takes them, so that the scheduler's loop never waits for a client.

Knows nothing of requests.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from ..api.answer import Chunk

LAST_ANSWERS_SECONDS = 2.0
"""For the errors of a process that must end to reach their callers, one of whom may take nothing."""
Sink = Callable[[Chunk], None]

logger = logging.getLogger(__name__)


class Outbox:
    """A queue of chunks and the thread that empties it; chunks reach their sinks in the order they were posted."""

    def __init__(self) -> None:
        self._posted: queue.SimpleQueue[tuple[Sink, Chunk] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._send, name="trimode-sender", daemon=True)
        self._thread.start()

    def post(self, sink: Sink, chunk: Chunk) -> None:
        """Have the thread call `sink` with `chunk`; any thread may post."""
        self._posted.put((sink, chunk))

    def close(self, *, at_most: float | None = None) -> None:
        """Wait until everything posted so far is sent, for `at_most` seconds, then end the thread."""
        self._posted.put(None)
        self._thread.join(at_most)

    def _send(self) -> None:
        while (item := self._posted.get()) is not None:
            sink, chunk = item
            try:
                sink(chunk)
            except Exception:  # one client's sink must not end everybody's answers
                logger.exception("a sink failed")

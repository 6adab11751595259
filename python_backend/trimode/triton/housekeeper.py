"""A thread beside the engine: looks for callers that went away and publishes metrics, so that nobody else waits.

Knows live requests by name, their cancellations and counts, never tokens.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import triton_python_backend_utils as pb_utils

from ..metrics import (
    AUTO_CYCLES,
    PASS_SECONDS,
    PASSES,
    PREFIX_BYTES,
    PREFIX_HITS,
    PREFIX_QUERIES,
    RUNNING,
    WAITING,
    Recorder,
)
from ..runtime import Stats
from .live_request import LiveRequest
from .publisher import Publisher
from .recent_names import RecentNames

POLL_SECONDS = 0.02
POLL_SECONDS_PER_REQUEST = 0.005  # a look costs 0.05 ms of processor time, most of it in the server's process
PUBLISH_SECONDS = 0.1
WARN_SECONDS = 10.0  # between warnings; what fails once may fail at every look


class Housekeeper:
    """Runs until `close`, which publishes once more and lets go of the metrics."""

    def __init__(self, recorder: Recorder, stats: Callable[[], Stats], instance: str) -> None:
        self._recorder = recorder
        self._instance = instance
        self._stats = stats
        self._publisher = Publisher()
        self._live: set[LiveRequest] = set()
        self._ended = RecentNames()
        self._cancelled_early = RecentNames()
        self._warned = -WARN_SECONDS
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
        self._thread.start()

    def watch(self, request: LiveRequest) -> None:
        """Look after `request` from now on; one whose cancellation came first is cancelled."""
        with self._lock:
            self._live.add(request)
            early = self._cancelled_early.take(request.name)
        if early:
            request.cancel()

    def forget(self, request: LiveRequest) -> None:
        """Stop looking after `request`."""
        with self._lock:
            self._live.discard(request)
            self._ended.add(request.name)

    def cancel(self, name: str) -> int:
        """End the live requests of this name; returns how many there were.

        A cancellation travels on a connection of its own and may overtake its request: a name not seen of late is
        kept until the request comes.
        """
        with self._lock:
            named = [request for request in self._live if name and request.name == name]
            if not named and name not in self._ended:
                self._cancelled_early.add(name)
        for request in named:
            request.cancel()
        return len(named)

    def close(self) -> None:
        """Stop the thread and release what Triton 2.51's stub cannot free by itself."""
        self._stop.set()
        self._thread.join(timeout=5)
        self._try(self._publish)
        self._publisher.close()

    def _run(self) -> None:
        published = 0.0
        live: list[LiveRequest] = []
        while not self._stop.wait(max(POLL_SECONDS, POLL_SECONDS_PER_REQUEST * len(live))):
            with self._lock:
                live = list(self._live)
            for request in live:
                self._try(request.cancel_if_left)
            if time.monotonic() - published >= PUBLISH_SECONDS:
                self._try(self._publish)
                published = time.monotonic()

    def _try(self, step: Callable[[], None]) -> None:
        """Take one step; its failure is not the others'."""
        try:
            step()
        except Exception as exc:
            if time.monotonic() - self._warned >= WARN_SECONDS:
                self._warned = time.monotonic()
                pb_utils.Logger.log_warn(f"housekeeping failed and goes on: {exc}")

    def _publish(self) -> None:
        stats = self._stats()
        record = self._recorder
        own = (self._instance,)
        record.level(RUNNING, stats.running, own)
        record.level(WAITING, stats.waiting, own)
        record.level(PREFIX_BYTES, stats.prefix_bytes, own)
        record.total(PASSES, stats.passes_total, own)
        record.total(PREFIX_QUERIES, stats.prompt_tokens)
        record.total(PREFIX_HITS, stats.cached_tokens)
        for (mode, length), cycles in stats.auto_cycles.items():
            record.total(AUTO_CYCLES, cycles, (mode, str(length)))
        for (rows, tokens), seconds in stats.pass_seconds.items():
            record.level(PASS_SECONDS, float(f"{seconds:.3g}"), (*own, str(rows), str(tokens)))
        self._publisher.publish(self._recorder.drain())

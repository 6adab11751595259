"""A thread that cancels requests whose callers left and publishes metrics, so that no other thread waits for Triton.

Knows live requests by name, their cancellations and counts, never tokens.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ..api.counters import Stats
from ..metrics import (
    AUTO_CYCLES,
    GRAMMAR_BYTES,
    PASS_SECONDS,
    PASSES,
    PICTURE_BYTES,
    PICTURES_ENCODED,
    PICTURES_FOUND,
    PREFIX_BYTES,
    PREFIX_HITS,
    PREFIX_QUERIES,
    RUNNING,
    SLOTS,
    SLOTS_USED,
    WAITING,
    Recorder,
)
from .live_request import LiveRequest
from .publisher import Publisher
from .recent_names import RecentNames

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.02  # between checks whether callers left, whose requests hold a slot of the engine until then
POLL_SECONDS_PER_REQUEST = 0.005  # added for each live one: a check takes 0.05 ms of processor time, 1 % of this
PUBLISH_SECONDS = 0.1  # between publications of the metrics; scrapers come every few seconds
JOIN_SECONDS = 5.0  # for the thread to end its last step; Triton waits meanwhile
WARN_SECONDS = 10.0  # between warnings: a step that failed once may fail at every poll


class Housekeeper:
    """Runs until `close`, which publishes once more and releases the metrics."""

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
        """Check `request` from now on; if its cancellation came before it, it is cancelled now."""
        with self._lock:
            self._live.add(request)
            early = self._cancelled_early.take(request.name)
        if early:
            request.cancel()

    def forget(self, request: LiveRequest) -> None:
        """Stop checking `request`, which has ended."""
        with self._lock:
            self._live.discard(request)
            self._ended.add(request.name)

    def cancel(self, name: str) -> int:
        """Cancel the live requests of this name; returns how many there were.

        A cancellation has its own connection and may overtake its request. So the name of a request that has neither
        come nor ended recently is kept until the request comes.
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
        self._thread.join(timeout=JOIN_SECONDS)
        self._attempt(self._publish)
        self._publisher.close()

    def _run(self) -> None:
        published = 0.0
        live: list[LiveRequest] = []
        while not self._stop.wait(max(POLL_SECONDS, POLL_SECONDS_PER_REQUEST * len(live))):
            with self._lock:
                live = list(self._live)
            for request in live:
                self._attempt(request.cancel_if_caller_left)
            if time.monotonic() - published >= PUBLISH_SECONDS:
                self._attempt(self._publish)
                published = time.monotonic()

    def _attempt(self, step: Callable[[], None]) -> None:
        """Do one step; if it fails, the others are still done."""
        try:
            step()
        except Exception as exc:
            if time.monotonic() - self._warned >= WARN_SECONDS:
                self._warned = time.monotonic()
                logger.warning("a step of housekeeping failed, the others go on: %s", exc)

    def _publish(self) -> None:
        stats = self._stats()
        record = self._recorder
        own = (self._instance,)  # the label of metrics that instances must not add up
        record.level(RUNNING, stats.running, own)
        record.level(WAITING, stats.waiting, own)
        record.level(SLOTS, stats.slots, own)
        record.level(SLOTS_USED, round(stats.slots_used, 4), own)
        record.level(PREFIX_BYTES, stats.prefix_bytes, own)
        record.level(GRAMMAR_BYTES, stats.grammar_bytes, own)
        record.total(PASSES, stats.passes_total, own)
        record.steps(stats.steps)
        record.level(PICTURE_BYTES, stats.picture_bytes, own)
        record.total(PICTURES_ENCODED, stats.encoded_pictures)
        record.total(PICTURES_FOUND, stats.found_pictures)
        record.total(PREFIX_QUERIES, stats.prompt_tokens)
        record.total(PREFIX_HITS, stats.cached_tokens)
        for (mode, length), cycles in stats.auto_cycles.items():
            record.total(AUTO_CYCLES, cycles, (mode, str(length)))
        for (rows, tokens), seconds in stats.pass_seconds.items():
            record.level(PASS_SECONDS, float(f"{seconds:.3g}"), (*own, str(rows), str(tokens)))
        self._publisher.publish(self._recorder.drain())

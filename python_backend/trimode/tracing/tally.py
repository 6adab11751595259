"""Tally: how many spans are to be sent, and how many a collector took. Needs no tracing library."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any


class Tally:
    """Counts spans, in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made = self._taken = 0

    @property
    def left(self) -> int:
        """How many no collector took."""
        with self._lock:
            return self._made - self._taken

    def end(self, span: Any, ended: int | None = None) -> None:
        """End a span, at `ended` (nanoseconds since 1970) or now."""
        if span.get_span_context().trace_flags.sampled:
            with self._lock:
                self._made += 1
        span.end(ended)

    def took(self, spans: int) -> None:
        """Count spans that a collector took."""
        with self._lock:
            self._taken += spans


class TallyingExporter:
    """Sends by an exporter of the library."""

    def __init__(self, exporter: Any, tally: Tally) -> None:
        self._exporter, self._tally = exporter, tally

    def export(self, spans: Sequence[Any]) -> Any:
        """Send spans, and return what the exporter says of that."""
        result = self._exporter.export(spans)
        if result.name == "SUCCESS":
            self._tally.took(len(spans))
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()

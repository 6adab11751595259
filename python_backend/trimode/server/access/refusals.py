"""Refusals: how often the fronts refused a request by themselves, by face and type of error. Knows no reasons."""

from __future__ import annotations

from collections import Counter

HTTP, OPENAI, GRPC, METRICS = FACES = ("http", "openai", "grpc", "metrics")


class Refusals:
    """Counts since the start; of the event loop's thread."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def count(self, face: str, error_type: str) -> None:
        """Count one at `face`, which is one of FACES."""
        self._counts[face, error_type] += 1

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many there were by face and type of error."""
        return dict(self._counts)

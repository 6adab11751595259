"""Recorder: what happened, as samples of the metrics, from any thread.

Knows nothing of Triton; triton/publisher.py takes what was recorded and publishes it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ..api.counters import Counters
from ..errors import TrimodeError
from .table import (
    ACCEPTED,
    DRAFT_TOKENS,
    DURATION,
    FIRST_CHUNK,
    FORWARD_KINDS,
    FORWARDS,
    OUTPUT_TOKENS,
    PROMPT_TOKENS,
    REQUESTS,
    Metric,
)


@dataclass(frozen=True)
class Sample:
    """One observation: an amount to add (counter), to observe (histogram) or to set (gauge)."""

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()


class Recorder:
    """Collects samples from any thread without a lock; `drain` hands them over, counters summed."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()
        self._before: dict[tuple[Metric, tuple[str, ...]], float] = {}

    def first_chunk(self, mode: str, seconds: float) -> None:
        """Note the time to a request's first chunk."""
        self._samples.append(Sample(FIRST_CHUNK, seconds, (mode,)))

    def answered(self, mode: str, outcome: str, seconds: float, prompt_tokens: int, counters: Counters) -> None:
        """Note a request's final response and what it cost."""
        self._samples.append(Sample(REQUESTS, 1, (mode, outcome)))
        self._samples.append(Sample(DURATION, seconds, (mode,)))
        self._samples.append(Sample(PROMPT_TOKENS, prompt_tokens, (mode,)))
        self._samples.append(Sample(OUTPUT_TOKENS, counters.output_tokens, (mode,)))
        self._samples.append(Sample(DRAFT_TOKENS, counters.total_draft_tokens, (mode,)))
        self._samples.append(Sample(ACCEPTED, counters.total_accepted_draft_tokens, (mode,)))
        for kind in FORWARD_KINDS:
            self._samples.append(Sample(FORWARDS, getattr(counters, f"{kind}_forwards"), (mode, kind)))

    def refused(self, mode: str, error: TrimodeError) -> None:
        """Note a request that never ran."""
        self._samples.append(Sample(REQUESTS, 1, (mode, error.type.outcome)))

    def level(self, metric: Metric, value: float, labels: tuple[str, ...] = ()) -> None:
        """Note the present state of a gauge."""
        self._samples.append(Sample(metric, value, labels))

    def total(self, metric: Metric, value: float, labels: tuple[str, ...] = ()) -> None:
        """Note how far a count has come that somebody else keeps. From one thread alone."""
        grown = value - self._before.get((metric, labels), 0.0)
        self._before[metric, labels] = value
        self._samples.append(Sample(metric, grown, labels))

    def drain(self) -> list[Sample]:
        """Return what came in since the last call: counters summed, the newest of each gauge, every observation."""
        merged: dict[tuple[str, tuple[str, ...]], Sample] = {}
        observed: list[Sample] = []
        while self._samples:
            sample = self._samples.popleft()
            key = (sample.metric.name, sample.labels)
            if sample.metric.kind == "histogram":
                observed.append(sample)
            elif sample.metric.kind == "counter" and key in merged:
                merged[key] = Sample(sample.metric, merged[key].value + sample.value, sample.labels)
            else:
                merged[key] = sample
        counted = [s for s in merged.values() if s.metric.kind == "gauge" or s.value > 0]
        return counted + observed

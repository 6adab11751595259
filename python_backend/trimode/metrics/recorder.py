"""Recorder: what happened, as samples of the metrics, from any thread.

Knows nothing of Triton; triton/publisher.py takes what was recorded and publishes it.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..api.answer import Chunk, Timing
from ..api.counters import FREE_DRAFTS, STEP_SIZES, StepTally
from ..errors import TrimodeError
from .table import (
    ACCEPTED,
    ACCEPTED_FREE,
    DECODE,
    DRAFT_TOKENS,
    DURATION,
    FIRST_CHUNK,
    FORWARD_KINDS,
    FORWARDS,
    FREE_DRAFT_TOKENS,
    INFERENCE,
    INTER_CHUNK,
    INTER_TOKEN,
    MOST_TOKENS,
    OUTPUT_SIZE,
    OUTPUT_TOKENS,
    PER_TOKEN,
    PREFILL,
    PROMPT_SIZE,
    PROMPT_TOKENS,
    QUEUE,
    REQUESTS,
    STEP_TOKENS,
    VERIFICATIONS,
    Metric,
)

INFINITE = "+Inf"  # the bound of the last bucket


@dataclass(frozen=True)
class Sample:
    """One observation: an amount to add (counter), to observe (histogram) or to set (gauge).

    Of a tallied histogram it is, once tallied, how many observations its bucket `le` got, or with `le` "" their sum;
    `le` is None before that.
    """

    metric: Metric
    value: float
    labels: tuple[str, ...] = ()
    times: int = 1
    le: str | None = None


class Recorder:
    """Collects samples from any thread without a lock; `drain` hands them over, counters summed."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()
        self._before: dict[tuple[Metric, tuple[str, ...], str | None], float] = {}

    def first_chunk(self, mode: str, seconds: float) -> None:
        """Note the time to a request's first chunk."""
        self._samples.append(Sample(FIRST_CHUNK, seconds, (mode,)))

    def answered(self, mode: str, outcome: str, seconds: float, chunk: Chunk, max_tokens: int) -> None:
        """Note a request's final response, `chunk`, and what it cost; it asked for `max_tokens` at most."""
        counters, prompt_tokens = chunk.counters, chunk.num_input_tokens
        self._samples.append(Sample(REQUESTS, 1, (mode, outcome)))
        self._samples.append(Sample(DURATION, seconds, (mode,)))
        self._samples.append(Sample(PROMPT_TOKENS, prompt_tokens, (mode,)))
        self._samples.append(Sample(OUTPUT_TOKENS, counters.output_tokens, (mode,)))
        self._samples.append(Sample(DRAFT_TOKENS, counters.total_draft_tokens, (mode,)))
        self._samples.append(Sample(ACCEPTED, counters.total_accepted_draft_tokens, (mode,)))
        for source in FREE_DRAFTS:
            accepted, rejected = (getattr(counters, f"{fate}_{source}_tokens") for fate in ("accepted", "rejected"))
            self._samples.append(Sample(FREE_DRAFT_TOKENS, accepted + rejected, (mode, source)))
            self._samples.append(Sample(ACCEPTED_FREE, accepted, (mode, source)))
        for kind in FORWARD_KINDS:
            self._samples.append(Sample(FORWARDS, getattr(counters, f"{kind}_forwards"), (mode, kind)))
        for confirmed, count in enumerate(counters.acceptance):
            self._samples.append(Sample(VERIFICATIONS, count, (str(confirmed),)))
        self._samples.append(Sample(PROMPT_SIZE, prompt_tokens, (mode,)))
        self._samples.append(Sample(OUTPUT_SIZE, counters.output_tokens, (mode,)))
        self._samples.append(Sample(MOST_TOKENS, max_tokens, (mode,)))
        if chunk.timing is not None:
            self._timed(mode, chunk.timing, time.monotonic())

    def _timed(self, mode: str, timing: Timing, ended: float) -> None:
        """Note when what happened to a request that ended; one that never had a slot has waited only."""
        self._samples.append(Sample(QUEUE, (timing.admitted or ended) - timing.submitted, (mode,)))
        if timing.admitted is None or timing.first is None or timing.last is None:
            return
        self._samples.append(Sample(PREFILL, timing.first - timing.admitted, (mode,)))
        self._samples.append(Sample(DECODE, timing.last - timing.first, (mode,)))
        self._samples.append(Sample(INFERENCE, timing.last - timing.admitted, (mode,)))
        for seconds, tokens in timing.gaps:
            self._samples.append(Sample(INTER_CHUNK, seconds, (mode,)))
            self._samples.append(Sample(INTER_TOKEN, seconds / tokens, (mode,), tokens))
        if later := sum(tokens for _, tokens in timing.gaps):
            self._samples.append(Sample(PER_TOKEN, (timing.last - timing.first) / later, (mode,)))

    def refused(self, mode: str, error: TrimodeError) -> None:
        """Note a request that never ran."""
        self._samples.append(Sample(REQUESTS, 1, (mode, error.type.outcome)))

    def level(self, metric: Metric, value: float, labels: tuple[str, ...] = ()) -> None:
        """Note the present state of a gauge."""
        self._samples.append(Sample(metric, value, labels))

    def total(self, metric: Metric, value: float, labels: tuple[str, ...] = ()) -> None:
        """Note how far a count has come that somebody else keeps. From one thread alone."""
        self._grown(metric, value, None, labels)

    def _grown(self, metric: Metric, value: float, le: str | None, labels: tuple[str, ...] = ()) -> None:
        grown = value - self._before.get((metric, labels, le), 0.0)
        self._before[metric, labels, le] = value
        if grown:
            self._samples.append(Sample(metric, grown, labels, le=le))

    def steps(self, tally: StepTally) -> None:
        """Note the steps of a loop that were counted so far. From one thread alone."""
        for bound, steps in zip((*map(bucket_name, STEP_SIZES), INFINITE), tally.steps, strict=True):
            self._grown(STEP_TOKENS, steps, bound)
        self._grown(STEP_TOKENS, tally.tokens, "")

    def drain(self) -> list[Sample]:
        """Return what came in since the last call: counters summed, the newest of each gauge, every observation."""
        merged: dict[tuple[str, tuple[str, ...], str | None], Sample] = {}
        observed: list[Sample] = []
        while self._samples:
            sample = self._samples.popleft()
            if sample.metric.kind == "histogram" and not sample.metric.tallied:
                observed.append(sample)
                continue
            for one in _tallied(sample) if sample.metric.tallied and sample.le is None else (sample,):
                key = (one.metric.name, one.labels, one.le)
                before = merged.get(key)
                if before is not None and one.metric.kind != "gauge":
                    merged[key] = replace(one, value=before.value + one.value)
                else:
                    merged[key] = one
        counted = [s for s in merged.values() if s.metric.kind == "gauge" or s.value > 0]
        return counted + observed


def _tallied(sample: Sample) -> Iterator[Sample]:
    """Give what an observation adds: to its bucket, and to the sum."""
    buckets = sample.metric.buckets
    at = bisect_left(buckets, sample.value)
    le = bucket_name(buckets[at]) if at < len(buckets) else INFINITE
    yield replace(sample, value=sample.times, times=1, le=le)
    yield replace(sample, value=sample.value * sample.times, times=1, le="")


def bucket_name(bound: float) -> str:
    """Return a bucket's bound as the label `le` has it."""
    return repr(float(bound))

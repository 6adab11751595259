"""Publishes recorded samples as Triton's custom metrics.

Runs on the housekeeper's thread, because each call waits for the server's process. Knows nothing of requests.
"""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils

from ..metrics import METRICS, TALLY, Sample


class Publisher:
    """Owns every MetricFamily and Metric of this model."""

    def __init__(self) -> None:
        kinds = {
            "counter": pb_utils.MetricFamily.COUNTER,
            "gauge": pb_utils.MetricFamily.GAUGE,
            "histogram": pb_utils.MetricFamily.HISTOGRAM,
        }
        self._families: dict[str, Any] = {}
        for metric in METRICS:
            for ending in TALLY if metric.tallied else ("",):
                name, kind = metric.name + ending, kinds["counter" if ending else metric.kind]
                self._families[name] = pb_utils.MetricFamily(name=name, description=metric.help, kind=kind)
        self._metrics: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._gauges: dict[tuple[str, tuple[str, ...]], float] = {}
        for metric in METRICS:
            if not metric.labels:
                self._metric(Sample(metric, 0))  # so that it is published from the start, as 0

    def publish(self, samples: list[Sample]) -> None:
        """Send `samples` to the server, except gauges whose value did not change."""
        for sample in samples:
            key = (sample.metric.name, sample.labels)
            target = self._metric(sample)
            if sample.metric.tallied:
                target.increment(sample.value)
            elif sample.metric.kind == "histogram":
                target.observe(sample.value)
            elif sample.metric.kind == "counter":
                target.increment(sample.value)
            elif self._gauges.get(key) != sample.value:
                target.set(sample.value)
                self._gauges[key] = sample.value

    def _metric(self, sample: Sample) -> Any:
        metric, name, labels = sample.metric, sample.metric.name, sample.labels
        named = dict(zip(metric.labels, labels, strict=True))
        if metric.tallied:
            of_buckets, of_sum = TALLY
            name += of_buckets if sample.le else of_sum
            named |= {"le": sample.le} if sample.le else {}
        key = (name, (*labels, sample.le or ""))
        if key not in self._metrics:
            extra = {"buckets": list(metric.buckets)} if metric.buckets and not metric.tallied else {}
            self._metrics[key] = self._families[name].Metric(labels=named, **extra)
        return self._metrics[key]

    def close(self) -> None:
        """Release every metric; Triton 2.51's stub crashes at exit when one is left."""
        self._metrics.clear()
        self._families.clear()

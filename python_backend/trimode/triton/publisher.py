"""Publishes recorded samples as Triton's custom metrics.

Runs on the housekeeper's thread, because each call waits for the server's process. Knows nothing of requests.
"""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils

from ..metrics import METRICS, Metric, Sample


class Publisher:
    """Owns every MetricFamily and Metric of this model."""

    def __init__(self) -> None:
        kinds = {
            "counter": pb_utils.MetricFamily.COUNTER,
            "gauge": pb_utils.MetricFamily.GAUGE,
            "histogram": pb_utils.MetricFamily.HISTOGRAM,
        }
        self._families: dict[str, Any] = {
            m.name: pb_utils.MetricFamily(name=m.name, description=m.help, kind=kinds[m.kind]) for m in METRICS
        }
        self._metrics: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._gauges: dict[tuple[str, tuple[str, ...]], float] = {}
        for metric in METRICS:
            if not metric.labels:
                self._metric(metric, ())  # so that it is published from the start, as 0

    def publish(self, samples: list[Sample]) -> None:
        """Send `samples` to the server, except gauges whose value did not change."""
        for sample in samples:
            key = (sample.metric.name, sample.labels)
            target = self._metric(sample.metric, sample.labels)
            if sample.metric.kind == "histogram":
                target.observe(sample.value)
            elif sample.metric.kind == "counter":
                target.increment(sample.value)
            elif self._gauges.get(key) != sample.value:
                target.set(sample.value)
                self._gauges[key] = sample.value

    def _metric(self, metric: Metric, labels: tuple[str, ...]) -> Any:
        key = (metric.name, labels)
        if key not in self._metrics:
            named = dict(zip(metric.labels, labels, strict=True))
            extra = {"buckets": list(metric.buckets)} if metric.buckets else {}
            self._metrics[key] = self._families[metric.name].Metric(labels=named, **extra)
        return self._metrics[key]

    def close(self) -> None:
        """Release every metric; Triton 2.51's stub crashes at exit when one is left."""
        self._metrics.clear()
        self._families.clear()

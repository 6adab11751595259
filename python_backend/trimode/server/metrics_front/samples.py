"""What Triton's metrics say, by name, and the histograms in them. Knows Prometheus' text; nothing of what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from ...metrics import TALLY, Metric
from ...metrics.recorder import INFINITE, bucket_name

LE = "le"
Labels = tuple[str, ...]


@dataclass
class Histogram:
    """Observations by bucket, whose bounds are as `le` has them, each for itself; and their sum."""

    buckets: dict[str, float]
    total: float = 0.0

    @classmethod
    def empty(cls, bounds: tuple[float, ...]) -> Histogram:
        """Return one without observations."""
        return cls(dict.fromkeys((*map(bucket_name, bounds), INFINITE), 0.0))

    def add(self, other: Histogram) -> None:
        """Add the observations of another one with the same bounds."""
        self.total += other.total
        for bound, count in other.buckets.items():
            self.buckets[bound] += count

    def cumulative(self) -> list[tuple[str, float]]:
        """Return, for each bound, the observations up to it."""
        found, so_far = [], 0.0
        for bound, count in self.buckets.items():
            so_far += count
            found.append((bound, so_far))
        return found


@dataclass(frozen=True)
class Samples:
    """The samples of one scrape: by the name of a series, each with its labels."""

    series: dict[str, list[tuple[dict[str, str], float]]] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Samples:
        """Read Triton's metrics.

        Raises:
            ValueError: a line cannot be read.
        """
        made = cls()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                made.series.setdefault(sample.name, []).append((sample.labels, sample.value))
        return made

    def values(self, metric: Metric, wanted: Mapping[str, str]) -> list[float]:
        """Return the values of a counter or a gauge that have the labels `wanted`."""
        return [value for labels, value in self.series.get(metric.name, []) if wanted.items() <= labels.items()]

    def histograms(self, metric: Metric) -> dict[Labels, Histogram]:
        """Return a histogram by its labels, put together again if it was tallied."""
        found: dict[Labels, Histogram] = {}
        of_buckets, of_sum = TALLY if metric.tallied else ("_bucket", "_sum")
        for labels, value in self.series.get(metric.name + of_sum, []):
            self._at(found, metric, labels).total = value
        for labels, value in self.series.get(metric.name + of_buckets, []):
            bound = labels[LE] if labels[LE] == INFINITE else bucket_name(float(labels[LE]))
            self._at(found, metric, labels).buckets[bound] = value
        if not metric.tallied:
            for histogram in found.values():
                _take_apart(histogram)
        return found

    def sum_of(self, metric: Metric) -> Histogram:
        """Return a histogram over all of its labels."""
        made = Histogram.empty(metric.buckets)
        for histogram in self.histograms(metric).values():
            made.add(histogram)
        return made

    def _at(self, found: dict[Labels, Histogram], metric: Metric, labels: Mapping[str, str]) -> Histogram:
        key = tuple(labels[name] for name in metric.labels)
        return found.setdefault(key, Histogram.empty(metric.buckets))


def _take_apart(histogram: Histogram) -> None:
    """Turn counts up to each bound into counts of each bucket."""
    before = 0.0
    for bound, so_far in histogram.buckets.items():
        histogram.buckets[bound], before = so_far - before, so_far

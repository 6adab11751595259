"""Medians with their spread, and ratios of what was measured side by side."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Spread:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of `values`; at least one is needed."""
        return cls(*(percentile(values, share) for share in (50, 25, 75)))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` percent of `values` lie, between two of them by their distance."""
    ordered = sorted(values)
    below, part = divmod((len(ordered) - 1) * share / 100, 1)
    low, high = ordered[int(below)], ordered[min(int(below) + 1, len(ordered) - 1)]
    return float(low + (high - low) * part)


def paired(one: Mapping[K, float], other: Mapping[K, float]) -> Spread:
    """Return the spread of the ratios of what has the same key: was measured side by side."""
    return ratios([one[key] for key in one], [other[key] for key in one])


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Return the spread of the ratios of pairs that were measured side by side."""
    return Spread.of([a / b for a, b in zip(numerators, denominators, strict=True)])

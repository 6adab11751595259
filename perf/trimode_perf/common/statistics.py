"""Medians with their spread, and ratios of what was measured side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Spread:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of `values`; at least one is needed."""
        low, median, high = np.percentile(np.asarray(values, dtype=np.float64), (25, 50, 75))
        return cls(float(median), float(low), float(high))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` percent of `values` lie."""
    return float(np.percentile(np.asarray(values, dtype=np.float64), share))


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Return the spread of the ratios of pairs that were measured side by side."""
    return Spread.of([a / b for a, b in zip(numerators, denominators, strict=True)])


def rounded(value: Any) -> Any:
    """Return nested results with every float rounded to five digits, which is more than it is worth."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value

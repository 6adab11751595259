"""Medians with their spread, ratios of what was measured side by side, and how soon answers depart."""

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


def departures(pairs: Sequence[tuple[list[int], list[int]]]) -> dict[str, float]:
    """Return how many answers differ, the tokens up to the first difference, and departures per 1000 of those."""
    compared = differing = 0
    for one, other in pairs:
        both = list(zip(one, other, strict=False))
        same = next((at for at, (a, b) in enumerate(both) if a != b), len(both))
        compared += same + (one != other)
        differing += one != other
    share = 1000 * differing / compared if compared else 0.0
    return {"differing_answers": differing, "tokens_compared": compared, "per_1000_tokens": share}

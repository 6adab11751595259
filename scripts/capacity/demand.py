"""From a curve of one replica and a load to a number of replicas. Pure; docs/guides/capacity.md has the formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Point(NamedTuple):
    """What one replica does while it answers so many requests at once.

    `first_seconds` is the time to the first token, `requests_per_second` what it finishes of the load's requests.
    """

    at_once: int
    first_seconds: float
    requests_per_second: float

    def token_seconds(self, tokens: int) -> float:
        """Return the time for each token of one answer: by Little's law, at_once / requests_per_second / tokens."""
        return self.at_once / self.requests_per_second / tokens


@dataclass(frozen=True)
class Demand:
    """A load and what it must keep.

    Attributes:
        requests_per_second: arrivals.
        prompt_tokens, answer_tokens: of one request, on average.
        first_seconds, token_seconds: the longest time to the first token, and for each token; infinity for any.
        load: the share of its best rate that a replica is given, since arrivals come in bursts.
    """

    requests_per_second: float
    prompt_tokens: int
    answer_tokens: int
    first_seconds: float = math.inf
    token_seconds: float = math.inf
    load: float = 0.7


class Answer(NamedTuple):
    """So many replicas, each at this point of its curve at most."""

    replicas: int
    point: Point


def replicas(curve: Sequence[Point], demand: Demand) -> Answer | None:
    """Return how many are needed; None if a replica misses a limit even with the fewest requests of its curve."""
    within = [
        point
        for point in curve
        if point.first_seconds <= demand.first_seconds
        and point.token_seconds(demand.answer_tokens) <= demand.token_seconds
    ]
    if not within:
        return None
    best = max(within, key=lambda point: point.requests_per_second)
    needed = demand.requests_per_second / (best.requests_per_second * demand.load)
    return Answer(max(1, math.ceil(needed - 1e-9)), best)

"""AheadDrafts: whether quadratic passes pay now, in which shape, and how much worse the drafts are that they make.

Such a draft is made before the token is known that it follows, and is refused more often than one of a pass of its own.
How much more is one factor, learnt from what verifications found. shapes.py has the arithmetic.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..decoding.quadratic_shape import QuadraticShape
from .shapes import best_shape, most_tokens_per_second
from .throughput import Costs, Load
from .tuning import TUNING

Floats = npt.NDArray[np.float64]
STEP = 0.25
"""Step of the logarithms by which chances and costs are rounded to find a shape that was worked out before."""
REMEMBERED = 64
"""Shapes remembered by what they were chosen for; when there are more, all are worked out again."""


@dataclass(frozen=True)
class PassLimits:
    """What one pass may have: tokens and rows of logits; and the tokens of one call, padding included.

    `stored` says that the cache must have room for all tokens of a pass, also those that do not stay. `row` bounds the
    tokens of a pass that reads a prompt and drafts, which is not cut.
    """

    tokens: int = sys.maxsize
    logits: int = sys.maxsize
    call_tokens: int = sys.maxsize
    stored: bool = False
    row: int = sys.maxsize

    def fit(self, tokens: int, logits: int) -> bool:
        """Whether a pass of so many tokens, of which so many give logits, can be run."""
        return tokens <= self.tokens and logits <= self.logits


class _Chosen(NamedTuple):
    """A shape that was worked out; or None, and what no shape exceeds.

    Attributes:
        scaled: tokens per pass over a block, as a share of the expected run of a draft of `length`: a slower machine,
            or drafts that are a little better, change nothing.
    """

    scaled: float
    length: int
    shape: QuadraticShape | None


class AheadDrafts:
    """What is known of drafts that quadratic passes make, and the shapes that were chosen. Not thread-safe."""

    def __init__(self, limits: PassLimits) -> None:
        self.limits = limits
        self._refused = self._expected = TUNING.prior_refusals
        self._chosen: dict[tuple[object, ...], _Chosen] = {}

    @property
    def factor(self) -> float:
        """How many times as often a token of such a draft is refused as one of a draft of a pass of its own."""
        return max(self._refused / self._expected, 1.0)

    def learn(self, committed: int, width: int, runs: Sequence[float]) -> None:
        """Learn from the verification of such a draft of `width` tokens, of which `committed` became the answer's.

        Args:
            runs: what was expected of drafts of passes of their own: tokens of a cycle by length.
        """
        places = min(committed, width - 1)
        if places < 1:
            return
        refusals = 1.0 - _chances(np.asarray(runs[: places + 2], dtype=np.float64), 1.0)
        self._refused += committed < width
        self._expected += float(refusals.sum())

    def forget(self) -> None:
        """Trust a little less in what was found, once a request ended: what is not tried is not learnt."""
        old = 1.0 / TUNING.requests_kept
        self._refused += old * (TUNING.prior_refusals - self._refused)
        self._expected += old * (TUNING.prior_refusals - self._expected)

    def best(
        self, costs: Costs, load: Load, capacity: int, runs: Sequence[Sequence[float]], bar: float
    ) -> tuple[float, QuadraticShape | None]:
        """Return the rate in tokens per second of the best shape, and the shape; 0 and None where none exceeds `bar`.

        What was worked out for nearly the same expectations and costs is taken again.

        Args:
            runs: of each request, expected tokens of a cycle with a draft of a pass of its own, by length up to the
                longest that all of them may have.
            bar: tokens per second that must be exceeded.
        """
        count, longest = len(runs), len(runs[0]) - 1
        if longest < 2:
            return 0.0, None
        mean: Floats = np.mean(np.asarray(runs, dtype=np.float64), axis=0)  # (longest + 1,)

        @lru_cache
        def seconds(tokens: int) -> float:
            return self.pass_seconds(costs, load, capacity, count, tokens)

        unit, least = seconds(longest), min(TUNING.draft_lengths[0], longest)
        marks = (mean[least], mean[longest], self.factor, unit / seconds(1))
        key = (count, load, capacity, longest, *(round(log(mark) / STEP) for mark in marks))
        found = self._chosen.get(key)
        if found is None:
            if len(self._chosen) >= REMEMBERED:
                self._chosen.clear()
            bound = most_tokens_per_second(_chances(mean, self.factor), seconds)
            found = self._chosen[key] = _Chosen(bound * unit / mean[longest], longest, None)
        scale = count / unit
        if found.shape is None and scale * found.scaled * mean[found.length] > bar:
            rows = count + load.quadratic
            rate, shape = best_shape(_chances(mean, self.factor), seconds, self.limits.fit, rows)
            length = longest if shape is None else shape.length
            found = self._chosen[key] = _Chosen(rate * unit / mean[length], length, shape)
        rate = scale * found.scaled * float(mean[found.length])
        return (rate, found.shape) if found.shape is not None and rate > bar else (0.0, None)

    def expected_tokens(self, runs: Sequence[float], longest: int) -> list[float]:
        """Return the tokens that a pass should give, by tokens of the draft that it verifies, up to `longest`.

        Args:
            runs: of a request, expected tokens of a cycle with a draft of a pass of its own, by length.
        """
        return [0.0, *_chances(np.asarray(runs[: longest + 1]), self.factor).cumprod().cumsum().tolist()]

    def pass_seconds(self, costs: Costs, load: Load, capacity: int, count: int, tokens: int) -> float:
        """Return what a step takes in which `count` requests have a pass of `tokens` tokens each, beside `load`."""
        seconds = Load(load.singles, load.blocks, load.width).seconds(costs, capacity)
        count, tokens = count + load.quadratic, max(tokens, load.quadratic_tokens)
        at_once = max(1, self.limits.call_tokens // tokens)
        whole, rest = divmod(count, at_once)
        if whole:
            seconds += whole * costs.seconds(at_once, tokens, capacity)
        return seconds + (costs.seconds(rest, tokens, capacity) if rest else 0.0)


def _chances(runs: Floats, factor: float) -> Floats:
    """Return (L,) the chances of a draft's tokens to be right if those before are, refused `factor` times as often.

    Args:
        runs: (L + 1,) expected tokens of a cycle by length of draft.
    """
    reach = np.diff(runs)
    right = np.minimum(reach[1:] / np.maximum(reach[:-1], 1e-9), 1.0)
    return np.append(1.0, 1.0 - np.minimum(1.0, factor * (1.0 - right)))

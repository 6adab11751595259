"""AheadDrafts: whether quadratic passes pay now and in which shape; what their drafts are worth and what they cost.

Such a draft is made before the token is known that it follows, and is refused more often than one of a pass of its own.
How much more is one factor, learnt from what verifications found. A mask and a position for each token make the pass
dearer than another of as many tokens: the second factor, learnt from what passes took. shapes.py has the arithmetic.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import accumulate, pairwise
from math import exp, log
from operator import mul
from typing import NamedTuple

from ..decoding.quadratic_shape import QuadraticShape
from .cost_curve import MOST_SURPRISE
from .shapes import best_shape, most_tokens_per_second
from .throughput import Costs, Load
from .tuning import TUNING

STEP = 0.25
"""Step of the logarithms by which chances and costs are rounded to find a shape that was worked out before."""
REMEMBERED = 1024
"""Shapes remembered by what they were chosen for; when there are more, all are worked out again.

One request at a time leads to some 50; there are more for each number of requests that run together.
"""


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
        self._surprise, self._tried = 0.0, False  # the logarithm of `dearer`; whether it was learnt of since `forget`
        self._chosen: dict[tuple[object, ...], _Chosen] = {}

    @property
    def factor(self) -> float:
        """How many times as often a token of such a draft is refused as one of a draft of a pass of its own."""
        return max(self._refused / self._expected, 1.0)

    @property
    def dearer(self) -> float:
        """How many times as long such a pass takes as another call of as many tokens."""
        return exp(self._surprise)

    def took(self, seconds: float, expected: float) -> None:
        """Learn from what a pass took.

        A mask for each token makes none cheaper, and a machine that is slow for a while must not rule passes out for
        long. So `dearer` is between 1 and the exponential of MOST_SURPRISE, however wrong the curve has become.

        Args:
            expected: seconds that the cost curve has for another call of as many tokens.
        """
        surprise = log(max(seconds, 1e-9) / expected) - self._surprise
        step = TUNING.learning_rate * max(-MOST_SURPRISE, min(MOST_SURPRISE, surprise))
        self._surprise, self._tried = min(max(self._surprise + step, 0.0), MOST_SURPRISE), True

    def learn(self, committed: int, width: int, runs: Sequence[float]) -> None:
        """Learn from the verification of such a draft of `width` tokens, of which `committed` became the answer's.

        Args:
            runs: what was expected of drafts of passes of their own: tokens of a cycle by length.
        """
        places = min(committed, width - 1)
        if places < 1:
            return
        self._refused += committed < width
        self._expected += sum(1.0 - chance for chance in _chances(runs[: places + 2], 1.0))

    def forget(self) -> None:
        """Trust a little less in what was found, once a request ended: what is not tried is not learnt."""
        old = 1.0 / TUNING.requests_kept
        if not self._tried:
            self._surprise *= 1.0 - old
        self._tried = False
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

        def mean(length: int) -> float:
            return sum(one[length] for one in runs) / count

        def chances() -> list[float]:
            return _evened(_chances([*map(mean, range(longest + 1))], factor))

        seconds: Callable[[int], float] = partial(self.pass_seconds, costs, load, capacity, count)
        unit, factor = seconds(longest), self.factor
        marks = (mean(min(TUNING.draft_lengths[0], longest)), mean(longest), factor, unit / seconds(1))
        key = (count, load._replace(dearer=1.0), longest, *(round(log(mark) / STEP) for mark in marks))
        found = self._chosen.get(key)
        if found is None:
            if len(self._chosen) >= REMEMBERED:
                self._chosen.clear()
            bound = most_tokens_per_second(chances(), lru_cache(seconds))
            found = self._chosen[key] = _Chosen(bound * unit / mean(longest), longest, None)
        scale = count / unit
        if found.shape is None and scale * found.scaled * mean(found.length) > bar:
            rate, shape = best_shape(chances(), lru_cache(seconds), self.limits.fit, count + load.quadratic)
            length = longest if shape is None else shape.length
            found = self._chosen[key] = _Chosen(rate * unit / mean(length), length, shape)
        rate = scale * found.scaled * mean(found.length)
        return (rate, found.shape) if found.shape is not None and rate > bar else (0.0, None)

    def expected_tokens(self, runs: Sequence[float], longest: int) -> list[float]:
        """Return the tokens that a pass should give, by tokens of the draft that it verifies, up to `longest`.

        Args:
            runs: of a request, expected tokens of a cycle with a draft of a pass of its own, by length.
        """
        return [0.0, *accumulate(accumulate(_chances(runs[: longest + 1], self.factor), mul))]

    def pass_seconds(self, costs: Costs, load: Load, capacity: int, count: int, tokens: int) -> float:
        """Return what a step takes in which `count` requests have a pass of `tokens` tokens each, beside `load`."""
        seconds = load._replace(quadratic=0).seconds(costs, capacity) if load.singles or load.blocks else 0.0
        count, tokens = count + load.quadratic, max(tokens, load.quadratic_tokens)
        at_once = max(1, self.limits.call_tokens // tokens)
        whole, rest = divmod(count, at_once)
        passes = whole * costs.seconds(at_once, tokens, capacity) if whole else 0.0
        if rest:
            passes += costs.seconds(rest, tokens, capacity)
        return seconds + self.dearer * passes


def _chances(runs: Sequence[float], factor: float) -> list[float]:
    """Return the chances of a draft's tokens to be right if those before are, refused `factor` times as often.

    Plain floats: for as few as a draft has, arrays take several times as long.

    Args:
        runs: expected tokens of a cycle by length of draft, from 0 on; one more than there are chances.
    """
    reach = [longer - shorter for shorter, longer in pairwise(runs)]
    right = (min(after / max(before, 1e-9), 1.0) for before, after in pairwise(reach))
    return [1.0, *(1.0 - min(1.0, factor * (1.0 - chance)) for chance in right)]


def _evened(chances: Sequence[float]) -> list[float]:
    """Return chances that are alike from one power of two to the next: tokens 1, 2 to 3, 4 to 7 and so on.

    How far runs come is known better than at which token they end. Of many shapes the best one would have its masks
    where ends were seen by chance, and none behind the tokens between. Each token counts as often as it is come to.
    """
    found, first, reach = [1.0], 1, 1.0
    while first < len(chances):
        part = chances[first : 2 * first]
        reached = list(accumulate([reach, *part[:-1]], mul))
        ended = sum(often * (1.0 - chance) for often, chance in zip(reached, part, strict=True))
        found += [1.0 - ended / max(sum(reached), 1e-9)] * len(part)
        first, reach = 2 * first, reached[-1] * part[-1]
    return found

"""AheadDrafts: whether quadratic passes pay now, in which shape, and how much worse the drafts are that they make.

Such a draft is made before the token is known that it follows, and is refused more often than one of a pass of its own.
How much more is one factor, learnt from what verifications found. shapes.py has the arithmetic.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..decoding.quadratic_shape import QuadraticShape
from .shapes import Outlook, best_shape, most_tokens_per_second
from .throughput import Costs, Load
from .tuning import TUNING

Floats = npt.NDArray[np.float64]
KEPT = 1.0 - 1.0 / TUNING.horizon_tokens
"""Factor on what was found of older drafts at each verification, and by which it returns to the first guess."""
MARKS = (4, 32)
"""Lengths of draft whose expected runs say what a shape was chosen for."""
STEP = 0.25
"""Relative step in which these are rounded."""
REMEMBERED = 64
"""Shapes remembered by what they were chosen for; when there are more, all are worked out again."""
WAIT = 16
"""Choices between two at which all shapes are tried, which takes milliseconds: a hundredth of the passes' time."""
RENEWED = 1024
"""Choices after which a shape is worked out again, since costs change."""


@dataclass(frozen=True)
class PassLimits:
    """What one pass may have: tokens and rows of logits; and the tokens of one call, padding included.

    `stored` says that the cache must have room for all tokens of a pass, also those that do not stay.
    """

    tokens: int = sys.maxsize
    logits: int = sys.maxsize
    call_tokens: int = sys.maxsize
    stored: bool = False

    def fit(self, tokens: int, logits: int) -> bool:
        """Whether a pass of so many tokens, of which so many give logits, can be run."""
        return tokens <= self.tokens and logits <= self.logits


class _Chosen(NamedTuple):
    """A shape that was worked out, or that none pays.

    Attributes:
        scaled: tokens per pass over a block, so that a slower machine changes nothing.
        until: the choice after which it is worked out again.
    """

    scaled: float
    shape: QuadraticShape | None
    until: int


class AheadDrafts:
    """What is known of drafts that quadratic passes make, and the shapes that were chosen. Not thread-safe."""

    def __init__(self, limits: PassLimits) -> None:
        self.limits = limits
        self._refused = self._expected = TUNING.prior_weight
        self._chosen: dict[tuple[object, ...], _Chosen] = {}
        self._last: QuadraticShape | None = None  # the shape that was last found among all
        self._asked = self._next = 0  # choices so far, and the one from which on all shapes may be tried again

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
        self._refused = KEPT * self._refused + (committed < width)
        self._expected = KEPT * self._expected + float(refusals.sum())

    def forget(self) -> None:
        """Trust a little less in what was found: requests change, and what is not tried is not learnt."""
        guess = (1.0 - KEPT) * TUNING.prior_weight
        self._refused, self._expected = KEPT * self._refused + guess, KEPT * self._expected + guess

    def best(
        self, costs: Costs, load: Load, capacity: int, runs: Sequence[Sequence[float]], bar: float
    ) -> tuple[float, QuadraticShape | None]:
        """Return the rate in tokens per second of the best shape, and the shape; 0 and None where none exceeds `bar`.

        What was worked out for nearly the same expectations is taken again.

        Args:
            runs: of each request, expected tokens of a cycle with a draft of a pass of its own, by length up to the
                longest that all of them may have.
            bar: tokens per second that must be exceeded.
        """
        count, longest = len(runs), len(runs[0]) - 1
        if longest < 2:
            return 0.0, None
        mean = np.mean(np.asarray(runs, dtype=np.float64), axis=0)  # (longest + 1,)
        factor = self.factor
        marks = [log(mean[min(length, longest)]) / STEP for length in MARKS]
        key = (count, load, capacity, longest, round(4 * factor), *map(round, marks))
        unit = costs.seconds(count, longest, capacity)
        self._asked += 1
        found = self._chosen.get(key)
        if found is None or self._asked > found.until:
            if len(self._chosen) > REMEMBERED:
                self._chosen.clear()

            def seconds(tokens: int) -> float:
                return self.pass_seconds(costs, load, capacity, count, tokens)

            rate, shape, until = self._work_out(_chances(mean, factor), seconds, bar / count)
            found = self._chosen[key] = _Chosen(count * rate * unit, shape, until)
        return (found.scaled / unit, found.shape) if found.scaled / unit > bar else (0.0, None)

    def expected_tokens(self, runs: Sequence[float], longest: int) -> list[float]:
        """Return the tokens that a pass should give, by tokens of the draft that it verifies, up to `longest`.

        Args:
            runs: of a request, expected tokens of a cycle with a draft of a pass of its own, by length.
        """
        return [0.0, *_chances(np.asarray(runs[: longest + 1]), self.factor).cumprod().cumsum().tolist()]

    def pass_seconds(self, costs: Costs, load: Load, capacity: int, count: int, tokens: int) -> float:
        """Return what a step takes in which `count` requests have a pass of `tokens` tokens each, beside `load`."""
        seconds = costs.seconds(load.singles, 1, capacity) if load.singles else 0.0
        if load.blocks:
            seconds += costs.seconds(load.blocks, load.width, capacity)
        count, tokens = count + load.quadratic, max(tokens, load.quadratic_tokens)
        at_once = max(1, self.limits.call_tokens // tokens)
        whole, rest = divmod(count, at_once)
        if whole:
            seconds += whole * costs.seconds(at_once, tokens, capacity)
        return seconds + (costs.seconds(rest, tokens, capacity) if rest else 0.0)

    def _work_out(
        self, chances: Floats, seconds: Callable[[int], float], bar: float
    ) -> tuple[float, QuadraticShape | None, int]:
        """Return the rate and the shape for these chances, and until which choice they are kept.

        To try all shapes takes milliseconds, so most times the one that was last found is taken, for a while.
        """
        if most_tokens_per_second(chances, seconds) <= bar:
            return 0.0, None, self._asked + WAIT
        last = self._last
        if last is not None and last.length <= len(chances) and self._asked < self._next:
            return Outlook(chances[: last.length]).rate(last, seconds, self.limits.fit), last, self._next
        self._next = self._asked + WAIT
        rate, self._last = best_shape(chances, seconds, self.limits.fit)
        return rate, self._last, self._asked + RENEWED


def _chances(runs: Floats, factor: float) -> Floats:
    """Return (L,) the chances of a draft's tokens to be right if those before are, refused `factor` times as often.

    Args:
        runs: (L + 1,) expected tokens of a cycle by length of draft.
    """
    reach = np.diff(runs)
    right = np.minimum(reach[1:] / np.maximum(reach[:-1], 1e-9), 1.0)
    return np.append(1.0, 1.0 - np.minimum(1.0, factor * (1.0 - right)))

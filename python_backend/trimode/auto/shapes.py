"""Which shape of quadratic passes gives the most tokens a second: pure arithmetic on chances and on what passes cost.

A pass verifies a draft and makes the next one, whose length depends on where the verified run ends: the lengths form a
Markov chain. Knows nothing of sequences, of how chances are estimated or of how costs are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ..decoding.quadratic_shape import QuadraticShape
from .throughput import lengths_up_to

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Seconds = Callable[[int], float]
"""What a pass of so many tokens takes."""
Fits = Callable[[int, int], bool]
"""Whether a pass of so many tokens, of which so many give logits, can be run."""
RARELY = 1e-6
"""Share of passes that does not count."""
PRICES = (0.0, *(0.001 * 1.6**power for power in range(14)))
"""Expected tokens that a mask must be worth in the shapes to choose among; 0 is the released shape."""
STRIDE = 3
"""Of these, every third is tried with every length, the others with the best one."""


class Outlook:
    """What drafts of up to L tokens that a quadratic pass made are worth.

    Attributes:
        reach: (L,) chance that token k of the draft is right and so are all before it; 1 for the first.
        ends: (L, L) by tokens of the draft - 1, and token: the chance that the run ends at that token.
        tokens: (L,) expected tokens of a run, by tokens of the draft - 1.
    """

    def __init__(self, chances: Sequence[float] | Floats) -> None:
        """Take (L,) the chance of each token of a draft to be right if those before it are; the first entry is 1."""
        known = np.asarray(chances, dtype=np.float64)
        self.length = len(known)
        self.reach: Floats = known.cumprod()
        self.inner: Floats = self.reach[:-1] * (1.0 - known[1:])
        self.tokens: Floats = self.reach.cumsum()
        self.ends: Floats = np.tril(np.broadcast_to(np.append(self.inner, 0.0), (self.length, self.length)), -1)
        np.fill_diagonal(self.ends, self.reach)

    def rate(self, shape: QuadraticShape, seconds: Seconds, fits: Fits | None = None) -> float:
        """Return the tokens a second of passes of a shape of this length in the long run; 0 where one does not fit."""
        return self.rates([shape], seconds, fits)[0]

    def rates(self, shapes: Sequence[QuadraticShape], seconds: Seconds, fits: Fits | None = None) -> list[float]:
        """Return the same of several shapes."""
        masks = np.stack([_masks(shape) for shape in shapes])  # (N, L, L) by tokens of the draft - 1, and group
        heads = np.arange(1, self.length + 1)
        sizes = heads + masks.sum(axis=2)
        logits = heads + np.maximum(masks - 1, 0).sum(axis=2)
        shares = self.shares(masks)
        tokens = shares @ self.tokens
        found = []
        for at, share in enumerate(shares):
            used = np.flatnonzero(share > RARELY).tolist()
            if fits is None or all(fits(int(sizes[at, one]), int(logits[at, one])) for one in used):
                found.append(float(tokens[at]) / sum(float(share[one]) * seconds(int(sizes[at, one])) for one in used))
            else:
                found.append(0.0)
        return found

    def shares(self, masks: Counts) -> Floats:
        """Return (N, L) the share of passes whose draft has so many tokens + 1: the long run of each shape's chain.

        Now and then it begins again with a single token, as an answer does, so that there is one long run.
        """
        size, count = self.length, len(masks)
        following = np.maximum(masks, 1) - 1 + size * np.arange(size * count).reshape(count, size, 1)
        ends = np.broadcast_to(self.ends, masks.shape).ravel()
        summed = np.asarray(np.bincount(following.ravel(), ends, count * size * size), dtype=np.float64)
        chain = (1.0 - RARELY) * summed.reshape(count, size, size)
        chain[:, :, 0] += RARELY
        equations = chain.transpose(0, 2, 1) - np.eye(size)
        equations[:, -1] = 1.0
        right = np.zeros((count, size, 1))
        right[:, -1] = 1.0
        shares: Floats = np.linalg.solve(equations, right)[:, :, 0]
        return shares

    def priced(self, price: float) -> QuadraticShape:
        """Return the shape in which each mask is worth `price` tokens or more.

        A group is worth the chance that the run ends at its token, times the tokens that its draft is then expected to
        have right beyond the first, which is known.
        """
        counts = np.arange(self.length + 1)
        gains = np.append(0.0, self.tokens - 1.0)  # by masks: the draft's tokens, of which the first is known
        paid = price * counts
        worth = np.stack([np.append(self.inner, 0.0), self.reach])[:, :, None] * gains - paid
        worth[:, :, 1] = -np.inf  # a single mask drafts nothing
        inner, last = (worth > worth.max(axis=2, keepdims=True) - 1e-12).argmax(axis=2)
        if price == 0.0:  # what costs nothing is had, also where it is hardly ever reached
            return QuadraticShape.official(self.length)
        return QuadraticShape(tuple(inner[:-1].tolist()), tuple(last.tolist()))


def best_shape(
    chances: Sequence[float] | Floats, seconds: Seconds, fits: Fits | None = None
) -> tuple[float, QuadraticShape | None]:
    """Return the rate in tokens a second of the best shape, and the shape; 0 and None where no pass fits.

    Tried are drafts of several lengths, each in two passes, in the released form, and with masks by what they are
    worth, at a few prices of a mask; then at all prices for the length that was best.

    Args:
        chances: (L,) the chance of each token of a draft to be right if those before it are; the first entry is 1.
        seconds: of a pass by its tokens.
        fits: whether a pass can be run; None if all can.
    """
    known = np.asarray(chances, dtype=np.float64)
    some = PRICES[::STRIDE]
    outlooks = [Outlook(known[:length]) for length in lengths_up_to(len(known))]
    found = [
        _best_of(one, [QuadraticShape.two_pass(one.length), *map(one.priced, some)], seconds, fits) for one in outlooks
    ]
    at = max(range(len(found)), key=lambda index: found[index][0])
    finer = _best_of(outlooks[at], list(map(outlooks[at].priced, PRICES)), seconds, fits)
    best, chosen = max(found[at], finer, key=lambda one: one[0])
    return (best, chosen) if best > 0.0 else (0.0, None)


def _best_of(
    outlook: Outlook, shapes: Sequence[QuadraticShape], seconds: Seconds, fits: Fits | None
) -> tuple[float, QuadraticShape]:
    distinct = list(dict.fromkeys(shapes))
    rates = outlook.rates(distinct, seconds, fits)
    at = int(np.argmax(rates))
    return rates[at], distinct[at]


def most_tokens_per_second(chances: Sequence[float] | Floats, seconds: Seconds) -> float:
    """Return a rate that no shape exceeds where each further token of a pass costs as much as those before or more.

    In the long run a draft has at most as many tokens as there were masks, and one more, whose groups do not know where
    the run will end: a pass over drafts of w tokens has at least 2 w - 1 tokens.
    """
    expected = Outlook(chances).tokens
    return max(float(expected[w - 1]) / seconds(2 * w - 1) for w in range(1, len(expected) + 1))


def _masks(shape: QuadraticShape) -> Counts:
    """Return (L, L), by tokens of the draft - 1 and group, the masks of each group; 0 where there is no such group."""
    size = shape.length
    found = np.tril(np.broadcast_to(np.append(np.array(shape.inner, dtype=np.int64), 0), (size, size)), -1)
    np.fill_diagonal(found, shape.last)
    return found

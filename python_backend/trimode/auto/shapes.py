"""Which shape of quadratic passes gives the most tokens a second: pure arithmetic on chances and on what passes cost.

A pass verifies a draft and makes the next one, whose length depends on where the verified run ends: the lengths form a
Markov chain. Knows nothing of sequences, of how chances are estimated or of how costs are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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
LEFT_OUT = 0.01
"""Share of the tokens of the longest draft that a first draft may leave out: of 16 tokens most are wrong where 2 are
expected, and each costs a mask beside the prompt and a token of the pass that verifies it."""
PRICES: Floats = 0.001 * 1.6 ** np.arange(14)
"""(14,) expected tokens that a mask must be worth in the shapes to choose among: a grid of 0.001 to 0.45."""


class Outlook:
    """What drafts of up to L tokens that a quadratic pass made are worth.

    Attributes:
        reach: (L,) chance that token k of the draft is right and so are all before it; 1 for the first.
        inner: (L - 1,) chance that the run ends at token k where more of the draft follows.
        tokens: (L,) expected tokens of a run, by tokens of the draft - 1.
        ends: (L, L) by tokens of the draft - 1, and token: the chance that the run ends at that token.
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

    def best_priced(self, seconds: Seconds, fits: Fits | None = None, rows: int = 1) -> tuple[float, QuadraticShape]:
        """Return the rate and the shape of the best of those in which each mask is worth one of PRICES.

        Where even a single token has no masks nothing is ever drafted, and the rate is 0.
        """
        masks = self._priced(PRICES)
        masks = masks[: np.count_nonzero(masks[:, self.length - 1])]  # the dearer, the fewer
        if not len(masks):
            return 0.0, QuadraticShape.two_pass(self.length)
        rates = self.rates(masks, seconds, fits, rows)
        at = int(np.argmax(rates))
        best = self._shape(masks[at])
        return rates[at], best.up_to(best.reached if rows > 1 else max(best.reached, self._first()))

    def _first(self) -> int:
        """Return the tokens of a first draft, made in the pass that reads the prompt: what more would give is little.

        Answers differ in how good their drafts are, and most begin as expected: so a first draft is longer than it
        would be by its mean worth and what its masks cost.
        """
        return int(np.searchsorted(self.tokens, (1.0 - LEFT_OUT) * self.tokens[-1])) + 1

    def _shape(self, masks: Counts) -> QuadraticShape:
        counts = masks.tolist()
        return QuadraticShape(tuple(counts[: self.length - 1]), tuple(counts[self.length - 1 :]))

    def _priced(self, prices: Floats) -> Counts:
        """Return (P, L - 1 + L) the masks of all groups, those where more of the draft follows first, by price.

        A group is worth the chance that the run ends at its token, times the tokens that its draft is then expected to
        have right beyond the first, which is known. Its masks are in this pass; and where the run ends there, their
        draft is in the next one, beyond its first token. Each mask is worth the price or more.
        """
        counts = np.arange(self.length + 1)
        gains = np.append(0.0, self.tokens - 1.0)  # by masks: the draft's tokens, of which the first is known
        ends = np.concatenate((self.inner, self.reach))[:, None]  # (groups, 1)
        paid = counts + ends * np.maximum(counts - 1, 0)  # (groups, masks)
        worth = ends * gains - prices[:, None, None] * paid
        worth[:, :, 1] = -np.inf  # a single mask drafts nothing
        most: Counts = (worth > worth.max(axis=2, keepdims=True) - 1e-12).argmax(axis=2)
        return most

    def rates(self, masks: Counts, seconds: Seconds, fits: Fits | None, rows: int) -> list[float]:
        """Return a row's tokens a second in the long run of N shapes of this length; 0 where a pass does not fit.

        Args:
            masks: (N, L - 1 + L) of all groups, those where more of the draft follows first.
            rows: of a call. They are padded to the longest of them, whose drafts are of lengths of their own.
        """
        inner, last = masks[:, : self.length - 1], masks[:, self.length - 1 :]
        sizes = self._sizes(inner, last)  # (N, L) by tokens of the draft - 1
        logits = self._sizes(np.maximum(inner - 1, 0), np.maximum(last - 1, 0))
        shares = self._shares(inner, last)
        tokens = shares @ self.tokens
        known: dict[int, float] = {}
        found = []
        for at, share in enumerate(shares):
            used = np.flatnonzero(share > RARELY)
            if fits is not None and not all(map(fits, sizes[at, used].tolist(), logits[at, used].tolist())):
                found.append(0.0)
                continue
            used = used[sizes[at, used].argsort(kind="stable")]
            all_below = np.minimum(share[used].cumsum(), 1.0) ** rows  # the chance that no row is longer
            taken = 0.0
            for often, size in zip(np.diff(all_below, prepend=0.0).tolist(), sizes[at, used].tolist(), strict=True):
                if size not in known:
                    known[size] = seconds(size)
                taken += often * known[size]
            found.append(float(tokens[at]) / taken)
        return found

    def _sizes(self, inner: Counts, last: Counts) -> Counts:
        """Return (N, L) the tokens of a draft and their masks, by tokens of the draft - 1."""
        sizes = last + np.arange(1, self.length + 1)
        sizes[:, 1:] += inner.cumsum(axis=1)
        return sizes

    def _shares(self, inner: Counts, last: Counts) -> Floats:
        """Return (N, L) the share of passes whose draft has so many tokens + 1: the long run of each shape's chain.

        Now and then it begins again with a single token, as an answer does, so that there is one long run.
        """
        size, count = self.length, len(last)
        following = np.repeat(np.pad(inner, ((0, 0), (0, 1)))[:, None, :], size, axis=1)  # (N, L, L) of draft, token
        following[:, range(size), range(size)] = last
        following = np.maximum(following, 1) - 1 + size * np.arange(size * count).reshape(count, size, 1)
        ends = np.broadcast_to(self.ends, following.shape).ravel()
        summed = np.asarray(np.bincount(following.ravel(), ends, count * size * size), dtype=np.float64)
        chain = (1.0 - RARELY) * summed.reshape(count, size, size)
        chain[:, :, 0] += RARELY
        return stationary(chain)


def stationary(chain: Floats) -> Floats:
    """Return (N, S) the long-run shares of the states of N Markov chains, each with one long run.

    One state after the other is left out, and what went through it is spread over the rest (Grassmann, Taksar and
    Heyman 1985): nothing is subtracted, and no library is asked that would have threads of its own spin for so little.

    Args:
        chain: (N, S, S) the chance of the state in a row to be followed by that in a column; the rows are overwritten.
    """
    size = chain.shape[1]
    for at in range(size - 1, 0, -1):
        left = chain[:, at, :at].sum(axis=1, keepdims=True)
        chain[:, :at, at] /= np.maximum(left, np.finfo(np.float64).tiny)
        chain[:, :at, :at] += chain[:, :at, at, None] * chain[:, at, None, :at]
    shares: Floats = np.ones(chain.shape[:2])
    for at in range(1, size):
        shares[:, at] = (shares[:, :at] * chain[:, :at, at]).sum(axis=1)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def best_shape(
    chances: Sequence[float] | Floats, seconds: Seconds, fits: Fits | None = None, rows: int = 1
) -> tuple[float, QuadraticShape | None]:
    """Return a row's tokens a second of the best shape, and the shape; 0 and None where no pass fits.

    Tried are drafts of several lengths in two passes and in the released form, whose rates have closed forms, and
    masks by what they are worth, at several prices of a mask.

    Args:
        chances: (L,) the chance of each token of a draft to be right if those before it are; the first entry is 1.
        seconds: of a pass by its tokens.
        fits: whether a pass can be run; None if all can.
        rows: of a call, which are padded to the longest of them.
    """
    outlook = Outlook(chances)
    formed = max(_formed(outlook, seconds, fits or (lambda tokens, logits: True), rows), default=(0.0, 0, False))
    best, shape = outlook.best_priced(seconds, fits, rows)
    rate, length, whole = formed
    if rate >= best:
        best, shape = rate, QuadraticShape.official(length) if whole else QuadraticShape.two_pass(length)
    return (best, shape) if best > 0.0 else (0.0, None)


def _formed(outlook: Outlook, seconds: Seconds, fits: Fits, rows: int) -> Iterator[tuple[float, int, bool]]:
    """Give the rates of the two-pass form and the released one by length of draft, and which is the latter.

    The released form has as many masks behind each token in every pass. The other one verifies the draft, then makes
    the next one beside a token that is verified once more.
    """
    shorter = 0.5**rows  # the chance that all rows of a call verify in two passes, which is a token less
    for length in lengths_up_to(outlook.length):
        run, size = float(outlook.tokens[length - 1]), length * (length + 1)
        if fits(size, length * length):
            yield run / seconds(size), length, True
        if fits(length + 1, length) and fits(length, length):
            mean = shorter * seconds(length) + (1.0 - shorter) * seconds(length + 1)
            yield (run + 1.0) / (2.0 * mean), length, False


def most_tokens_per_second(chances: Sequence[float] | Floats, seconds: Seconds) -> float:
    """Return a rate that no shape exceeds where each further token of a pass costs as much as those before or more.

    In the long run a draft has at most as many tokens as there were masks, and one more, whose groups do not know where
    the run will end: a pass over drafts of w tokens has at least 2 w - 1 tokens.
    """
    expected: list[float] = np.cumprod(chances).cumsum().tolist()
    return max(run / seconds(2 * heads - 1) for heads, run in enumerate(expected, 1))

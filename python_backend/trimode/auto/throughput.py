"""Which choice gives the most tokens per second: pure arithmetic on what calls cost and what drafts are worth.

Knows nothing of sequences, of how costs are measured or of how the worth of drafts is estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from .acceptance import Floats
from .tuning import TUNING


class Costs(Protocol):
    """The questions that a cost curve answers."""

    def seconds(self, rows: int, tokens: int, capacity: int) -> float:
        """Return what a call of `rows` rows of `tokens` tokens each takes at a cache of `capacity` entries."""
        ...


class Load(NamedTuple):
    """Rows that are in the next calls whatever is chosen.

    Attributes:
        singles, blocks: single tokens, and blocks. width: tokens of the longest of these blocks.
        quadratic: quadratic passes, whose call is their own. quadratic_tokens: tokens of the largest of them.
        dearer: how many times as long that call takes as another one of as many tokens.
    """

    singles: int = 0
    blocks: int = 0
    width: int = 0
    quadratic: int = 0
    quadratic_tokens: int = 0
    dearer: float = 1.0

    def seconds(self, costs: Costs, capacity: int) -> float:
        """Return what its calls take together: one for each kind of rows."""
        taken = costs.seconds(self.singles, 1, capacity) if self.singles else 0.0
        if self.blocks:
            taken += costs.seconds(self.blocks, self.width, capacity)
        if self.quadratic:
            taken += self.dearer * costs.seconds(self.quadratic, self.quadratic_tokens, capacity)
        return taken


@dataclass(frozen=True)
class DraftOutlook:
    """One request to choose for.

    Attributes:
        runs: expected tokens of a cycle, by length of draft.
        longest: tokens of the longest draft that it may have.
        remaining: tokens that it may still commit.
        given: tokens that its present cycles should give.
    """

    runs: Sequence[float]
    longest: int
    remaining: int
    given: float = 1.0

    def expected_tokens(self, length: int) -> float:
        """Return the tokens that a cycle with drafts of `length` should give."""
        return self.runs[min(length, self.longest, self.remaining)]


def tokens_per_second(
    costs: Costs, load: Load, capacity: int, *, singles: int = 0, blocks: int = 0, length: int = 0, gain: float = 0.0
) -> float:
    """Return the rate of the steps in which `singles` and `blocks` more rows run.

    Args:
        length: tokens of each of the `blocks` more rows.
        gain: tokens that all of them give in a cycle, which is two calls: a draft and its verification.
    """
    width = max(length, load.width)
    rows = load._replace(singles=singles + load.singles, blocks=blocks + load.blocks, width=width)
    return (singles + gain / 2) / rows.seconds(costs, capacity)


def lengths_up_to(limit: int) -> list[int]:
    """Return the lengths of drafts to choose among where none may be longer than `limit`."""
    return [*(length for length in TUNING.draft_lengths if length < limit), limit]


def best_choice(
    costs: Costs, load: Load, capacity: int, outlooks: Sequence[DraftOutlook], last: int | None
) -> tuple[float, int]:
    """Return the rate in tokens per second of the best choice, and the length of its drafts, 0 for single tokens.

    Either all outlooks draft or none does: by measurement, a call over blocks plus one over single tokens costs more
    than the few that draft well gain.

    A request that drafts badly stays for more cycles, so more of those that run are like it than of those that come.
    So a length is chosen by what answers need, not by what the next step gives: each request counts by the tokens that
    it gives now, and cycles are added up. The rate is that of the next step, as rates of other passes are.

    Args:
        last: what was last chosen for them, if anything was; another choice must be better by a margin.
    """
    count = len(outlooks)
    keep = 1.0 + TUNING.margin
    best, chosen = tokens_per_second(costs, load, capacity, singles=count), 0
    bar = best * (keep if last == 0 else 1.0)
    given = sum(one.given for one in outlooks)
    for length in lengths_up_to(max(one.longest for one in outlooks)):
        gain = count * given / sum(one.given / one.expected_tokens(length) for one in outlooks)
        rate = tokens_per_second(costs, load, capacity, blocks=count, length=length, gain=gain)
        worth = rate * (keep if last == length else 1.0)
        if worth > bar:
            best, chosen, bar = rate, length, worth
    if chosen:
        gain = sum(one.expected_tokens(chosen) for one in outlooks)
        best = tokens_per_second(costs, load, capacity, blocks=count, length=chosen, gain=gain)
    return best, chosen


def shape_bar(rate: float, *, kept: bool) -> float:
    """Return the tokens a second that quadratic passes must exceed to be chosen in place of the best other choice.

    They must be better by a margin, not just as good: more of what they promise is an estimate.

    Args:
        rate: of the best other choice. kept: whether such passes were the last choice, which needs no margin.
    """
    return rate if kept else rate * (1.0 + TUNING.margin)


def trial_length(
    costs: Costs,
    load: Load,
    capacity: int,
    count: int,
    possible: tuple[Floats, Floats],
    longest: int,
    remaining: float,
) -> int:
    """Return the length of the draft that a request should try although single tokens are chosen; 0 for none.

    It is worth a try if what it may show is worth more than it costs, both in tokens of all `count` requests. A draft
    shows how many of its tokens are right. After that, the chances of the factors are others (Bayes' rule), and drafts
    are chosen where they then promise more than single tokens: this is the expected value of sample information
    (Raiffa and Schlaifer, 1961). All requests are taken to be like this one, since they share calls. Meanwhile, the
    others wait for the trial's two calls.

    Args:
        possible: (F,) chances and (F, lengths + 1) expected runs of what its drafts may be like.
        remaining: tokens for which what is found should hold.
    """
    chances, runs = possible
    lengths = lengths_up_to(longest)
    single = tokens_per_second(costs, load, capacity, singles=count)
    per_token = [
        tokens_per_second(costs, load, capacity, blocks=count, length=length, gain=count) / single for length in lengths
    ]
    rates = runs[:, lengths] * per_token  # (F, lengths), relative to single tokens
    best, tried = 0.0, 0
    for length in lengths:
        expected = float(chances @ runs[:, length])
        cost = 2 * costs.seconds(1, length, capacity) * single - expected
        worth = _shown(chances, runs[:, : length + 1], rates) * max(remaining - expected, 0.0)
        if worth - cost > best:
            best, tried = worth - cost, length
    return tried


def _shown(chances: Floats, runs: Floats, rates: Floats) -> float:
    """Return by how much the rate should rise by what one draft shows, relative to single tokens, which are 1.

    Args:
        chances: (F,). runs: (F, tokens + 1) expected tokens by length, up to that of the draft. rates: (F, lengths).
    """
    reach = np.diff(runs, axis=1)  # (F, tokens) the chance that so many tokens are the answer's, or more
    ends = reach - np.pad(reach[:, 1:], ((0, 0), (0, 1)))  # (F, tokens) the chance of just so many
    joint = (chances[:, None] * ends).T  # (tokens, F)
    return float(np.maximum((joint @ rates).max(axis=1), joint.sum(axis=1)).sum()) - 1.0

"""What was best in one half of the rounds, held against the rounds of the other half.

The best of several noisy figures is partly luck. Where it is chosen in rounds other than those it is timed in, the luck
is left behind. Knows no choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...common.statistics import ratios


def crossed(own: Sequence[float], others: Mapping[str, Sequence[float]]) -> tuple[list[str], list[float]]:
    """Return the best of `others` in the even rounds and in the odd ones, and `own` over the other half's, by round.

    The best is the one with the greatest median ratio to `own`, of pairs of one round.

    Args:
        own: tokens a second by round, of at least two rounds.
        others: the same, by name.
    """
    halves = (slice(0, None, 2), slice(1, None, 2))
    best = [max(others, key=lambda name: ratios(others[name][half], own[half]).median) for half in halves]
    return best, [rate / others[best[1 - number % 2]][number] for number, rate in enumerate(own)]

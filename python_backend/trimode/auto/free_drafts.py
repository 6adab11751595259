"""Which requests in mode auto verify a free draft next, and of what length: whatever gives the most tokens a second.

A free draft costs nothing but longer rows in a call. What it is worth is counted whether or not it is verified (see
decoding/free_drafts/drafts.py), so nothing has to be tried. What auto knows of drafts that passes make does not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..api.fields import Mode
from ..decoding.free_drafts.drafts import FreeDrafts
from ..decoding.sequence import SequenceState
from .request_state import AutoState
from .throughput import Costs, Load, lengths_up_to
from .tuning import TUNING


@dataclass(frozen=True)
class Candidate:
    """A request that could verify a free draft.

    Attributes:
        chance: that a token of it is right, if those before it are.
        longest: tokens of the verification at most; the token before the draft is one of them.
        otherwise: tokens that one of its passes gives without a free draft; width: tokens of that pass.
        quadratic: whether that pass is a quadratic one.
    """

    chance: float
    longest: int
    otherwise: float = 1.0
    width: int = 1
    quadratic: bool = False

    def expected_tokens(self, length: int) -> float:
        """Return what a verification of `length` tokens should give: those that are right, and one more."""
        length = min(length, self.longest)
        return float(length) if self.chance >= 1.0 else (1.0 - self.chance**length) / (1.0 - self.chance)

    def gains(self, length: int) -> bool:
        """Whether a verification of `length` tokens should give more than a pass without a free draft."""
        return self.expected_tokens(length) > self.otherwise


def best_length(costs: Costs, load: Load, capacity: int, others: float, candidates: Sequence[Candidate]) -> int:
    """Return the length of the verifications that give the most tokens a second, 0 if there should be none.

    All rows of a call are as long as its longest, so one length is chosen for all candidates.

    Args:
        load: the rows of the next calls but for the candidates', which go with the blocks unless they are quadratic.
        others: tokens that the rows of requests in mode auto give; other rows count by the time they take.
    """

    def rate(length: int) -> float:
        tokens, blocks, width = others, load.blocks, load.width
        quadratic, largest = load.quadratic, load.quadratic_tokens
        for one in candidates:
            gains = length > 0 and one.gains(length)
            tokens += one.expected_tokens(length) if gains else one.otherwise
            if one.quadratic and not gains:
                quadratic, largest = quadratic + 1, max(largest, one.width)
            else:
                blocks, width = blocks + 1, max(width, min(length, one.longest) if gains else one.width)
        return tokens / Load(load.singles, blocks, width, quadratic, largest, load.dearer).seconds(costs, capacity)

    limit = max(one.longest for one in candidates)
    bar, chosen = rate(0) * (1.0 + TUNING.margin), 0
    for length in [2, *lengths_up_to(limit)]:
        if (found := rate(length)) > bar:
            bar, chosen = found, length
    return chosen


def choose(
    costs: Costs,
    deciding: Sequence[SequenceState],
    states: Mapping[SequenceState, AutoState],
    load: Load,
    capacity: int,
) -> set[SequenceState]:
    """Say for all of `deciding` how long a free draft may be next; return those that have one.

    Args:
        load: the rows of requests that are not in mode auto. They count by the time that they take, not by tokens.
    """
    asking = {seq: seq.free_drafts for seq in deciding if seq.free_drafts is not None}
    for free in asking.values():
        free.limit = 0
    found = {seq: made for seq, free in asking.items() if (made := _candidate(seq, free, states[seq])) is not None}
    if not found:
        return set()
    singles, blocks, width, tokens = load.singles, load.blocks, load.width, 0.0
    quadratic, largest = load.quadratic, load.quadratic_tokens
    for seq in deciding:
        if seq in found:
            continue
        otherwise, size, is_quadratic = _without(seq, states[seq])
        tokens += otherwise
        if is_quadratic:
            quadratic, largest = quadratic + 1, max(largest, size)
        elif seq.single:
            singles += 1
        else:
            blocks, width = blocks + 1, max(width, size)
    rest = Load(singles, blocks, width, quadratic, largest, load.dearer)
    length = best_length(costs, rest, capacity, tokens, list(found.values()))
    taken = {seq for seq, one in found.items() if length and one.gains(length)}
    blocks += sum(seq in taken or not one.quadratic for seq, one in found.items())
    seconds = costs.seconds(blocks, max(width, length), capacity) if taken else 0.0
    for seq in taken:
        asking[seq].limit = length
        states[seq].free_tokens, states[seq].free_seconds = found[seq].expected_tokens(length), seconds
    return taken


def _candidate(seq: SequenceState, free: FreeDrafts, state: AutoState) -> Candidate | None:
    """Return what a free draft could give a request now, None if it has none or is not between two cycles."""
    offer = free.offer(seq.tokens) if seq.begins_cycle else None
    if offer is None:
        return None
    longest = min(len(offer.tokens) + 1, seq.remaining)
    return Candidate(free.chance(offer), longest, *_without(seq, state)) if longest > 1 else None


def _without(seq: SequenceState, state: AutoState) -> tuple[float, int, bool]:
    """Return the tokens that a pass of a request should give without a free draft, those it has, if it is quadratic.

    A draft that a pass makes takes a second pass to be verified, unless that one makes the next draft.
    """
    if seq.shape is not None and state.shape is not None:
        heads = len(seq.current.tokens)
        return state.shape_tokens[min(heads, state.shape.length)], heads + sum(seq.shape.masks(heads)), True
    if seq.mode is Mode.AUTOREGRESSIVE or not state.drafts:
        return 1.0, 1, False
    return state.cycle_tokens / 2, state.drafts, False

"""Auto: chooses how requests that leave it open are decoded, anew every few cycles: what gives most tokens a second.

A cost curve says what a call takes, acceptance says what a draft gives; both are measured while running. The choice is
between token by token and drafts of several lengths, which give the same text; diffusion, which gives its own, only
where a request allows it, once for the whole answer. Knows nothing of how a mode decodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import NamedTuple

from ..api.answer import Decisions
from ..api.fields import Mode
from ..decoding.modes import registry as modes
from ..decoding.sequence import Phase, Sequence
from .acceptance import stretch
from .cost_curve import CostCurve
from .request_state import Steering
from .similar_requests import Kin, marks_of

LENGTHS = (4, 8, 12, 16, 24, 32, 48, 64)
"""Lengths of drafts to choose among, as far as the model and the request have them."""
HELD = 8
"""Steps for which a choice of token by token stands."""
HELD_DRAFTS = 2
"""Drafts for which a choice with drafts stands."""
LOYALTY = 0.03
CROWDED = 0.01
"""By how much another choice must beat the last one, and by how much more for each request beyond the first: a call is
as wide as its longest draft until all have changed."""
CAUTION = 0.015
"""By how much drafts must beat single steps, for each of several requests: the best of many estimates promises too
much, and the more rows a call has, the less a right choice of drafts gains and the more a wrong one costs."""
MANY = 16
"""Requests from which on neither grows."""
LONGER = 1.02
"""How much better a longer draft must be than a shorter one among several requests."""
CHANGED = 0.25
"""Share of a crowd that may come and go before its choice is made anew."""
AROUND = 0.1
"""Share that a step has in what is expected around the calls of others."""
PATIENCE = 16
"""Tokens one by one after which one draft is tried again, for each request that would wait for it; doubled with each
trial."""
WARNED = 96
"""The same where much is known of requests that are alike."""
MUCH = 8.0
"""Verifications that are much."""
DOUBT = 8
"""So many times that, and it is tried even where the curve says that it cannot pay: calls never made are guessed."""
TRIAL = 8
"""Longest draft of such a trial."""


class Call(NamedTuple):
    """An engine call of a step: rows, tokens of the longest, capacity of the cache, seconds."""

    rows: int
    tokens: int
    capacity: int
    seconds: float


@dataclass(frozen=True)
class _Load:
    """Rows that are in the next calls whatever is chosen: single tokens, blocks, and the longest of these blocks."""

    singles: int = 0
    blocks: int = 0
    width: int = 0


class Auto:
    """The chooser. Not thread-safe: the scheduler's thread owns it."""

    def __init__(self, curve: CostCurve, block_size: int) -> None:
        self.curve = curve
        self.cycles: Counter[tuple[str, int]] = Counter()
        """Cycles by mode and length of draft since the start, 0 without one; of diffusion, answers."""
        self._kin = Kin()
        self._steps_left = 0
        self._crowd = self._moved = 0  # requests in the last step; those that came or went since the last choice
        self._length = self._made_for = 0  # that choice: the length of its drafts, and for how many it was made
        self._followed = False  # whether all of it decode token by token, as was chosen: they go on by themselves
        self._step_seconds = 0.0  # of a step in which they do
        self._around: dict[int, float] = {}  # seconds around a call, by the binary digits of its number of rows
        self._block_size = block_size

    def admit(self, seq: Sequence, running: Items[Sequence], capacity: int) -> None:
        """Take in a request before its first pass; one that allows diffusion gets it if it is expected to be quickest.

        Args:
            running: the others that are being decoded.
            capacity: of the cache at the moment.
        """
        if seq.params.mode is not Mode.AUTO:
            return
        marks = marks_of(seq.prompt)
        known = self._kin.prior(marks)
        seq.steering = Steering(known, marks, patience=WARNED if known.evidence >= MUCH else PATIENCE)
        if Mode.DIFFUSION.value not in seq.params.auto_allow:
            return
        load = _load(running)
        seconds = self.curve.seconds(1 + load.blocks, max(seq.block_length, load.width), capacity)
        per_token = seconds * known.passes / known.tokens if known.tokens else 0.0
        exact, _ = self._best([seq], [_expected(seq)], load, capacity, None)
        # With nothing known it is tried: that is how something becomes known. Its text is another, so it has to gain.
        if per_token * exact * _loyalty(1) < 1.0:
            seq.params = seq.params.diffusing()
            seq.mode = Mode.DIFFUSION
            state = seq.steering
            if known.blocks:
                state.expected_seconds = seconds * known.passes / known.blocks
                state.expected_tokens = known.tokens / known.blocks
            state.cycles[str(seq.mode)] = 1
            self.cycles[str(seq.mode), 0] += 1

    def steer(self, running: Items[Sequence], capacity: int) -> None:
        """Choose for all that leave their mode open together; each follows when it stands between two cycles.

        A choice stands for a while; those that come meanwhile join in it, until it was made for too many others.
        """
        free = [seq for seq in running if seq.steering is not None and seq.params.mode is Mode.AUTO and _decodes(seq)]
        if not free:
            return
        new = [seq for seq in free if not _steering(seq).joined]
        if len(new) == len(free):
            self._made_for = 0
        self._steps_left -= 1
        self._moved += 2 * len(new) + self._crowd - len(free)
        self._crowd = len(free)
        if self._steps_left < 0 or self._moved > CHANGED * len(free):
            self._choose(free, _load([seq for seq in running if seq.params.mode is not Mode.AUTO]), capacity)
        elif new:
            for seq in new:
                self._join(seq, self._length)
        elif self._followed:
            return
        for seq in free:
            if seq.steered:
                self._follow(seq, len(free), capacity)
        self._followed = all(seq.mode is Mode.AUTOREGRESSIVE for seq in free)

    def observe(self, calls: Items[Call], around: float | None) -> None:
        """Take in a step's calls, what is done around them counted with them: it is part of what a token costs.

        Args:
            around: seconds that all the step took beside these calls; None where that was more than decoding, and what
                it was for about as many rows is taken for it.
        """
        for call in calls:
            size = call.rows.bit_length()
            if around is not None:
                share = around / len(calls)
                self._around[size] = share + (1.0 - AROUND) * (self._around.get(size, share) - share)
            elif size in self._around:
                share = self._around[size]
            else:
                continue
            self.curve.observe(call.rows, call.tokens, call.capacity, call.seconds + share)

    def finished(self, seq: Sequence) -> None:
        """Learn from a request that has ended, if its mode was left open."""
        if seq.steering is None:
            return
        if seq.mode is Mode.DIFFUSION and seq.counters.denoise_forwards:
            blocks = -(-len(seq.tokens) // seq.block_length)
            seq.seen.note_blocks(blocks, seq.counters.forwards, len(seq.tokens))
        self._kin.learn(seq.steering.marks, seq.seen)

    def told(self, seq: Sequence) -> Decisions | None:
        """Note what `seq` has done so far; return what a client may know of it, None where the mode was not open."""
        if seq.steering is None:
            return None
        self._settle(seq)
        blocks = -(-len(seq.tokens) // seq.block_length) if seq.mode is Mode.DIFFUSION else 1
        state = seq.steering
        return Decisions(
            dict(state.cycles),
            round(1000 * blocks * state.expected_seconds, 3),
            round(blocks * state.expected_tokens, 3),
        )

    def _choose(self, free: list[Sequence], load: _Load, capacity: int) -> None:
        """Set what each of `free` is to do next."""
        for seq in free:
            self._settle(seq)
        expected = [_expected(seq) for seq in free]
        now = self._length if len(free) <= 2 * self._made_for else None  # a choice for far fewer is none for these
        _, length = self._best(free, expected, load, capacity, now)
        self._length, self._made_for, trying = length, len(free), False
        for seq in free:
            if not length and self._tries(seq, len(free), load, capacity):
                _steering(seq).patience *= 2
                self._join(seq, TRIAL)
                trying = True
            else:
                self._join(seq, length)
        self._steps_left = (2 if trying else 2 * HELD_DRAFTS if length else HELD) - 1
        self._moved = 0
        self._step_seconds = self.curve.seconds(len(free), 1, capacity)

    def _join(self, seq: Sequence, length: int) -> None:
        """Choose drafts of `length` for a sequence, as far as it may have them, or none."""
        state = _steering(seq)
        state.drafts, state.joined = min(length, self._longest(seq)), True
        if state.drafts:
            state.quiet, state.gain = 0, _expected(seq)[state.drafts]

    def _follow(self, seq: Sequence, running: int, capacity: int) -> None:
        """Let a sequence between two cycles do what was chosen for it; note a draft's cycle and what it should take."""
        state = _steering(seq)
        length = state.drafts
        if not length:
            if seq.mode is not Mode.AUTOREGRESSIVE:
                modes.steer(seq, Mode.AUTOREGRESSIVE, seq.params.block_length)
            return
        if seq.mode is not Mode.SELF_SPECULATION or seq.block_length != length:
            modes.steer(seq, Mode.SELF_SPECULATION, length)
        name = f"{Mode.SELF_SPECULATION}/{length}"
        state.cycles[name] = state.cycles.get(name, 0) + 1
        state.expected_tokens += state.gain
        state.expected_seconds += 2 * self.curve.seconds(running, length, capacity)
        self.cycles[str(Mode.SELF_SPECULATION), length] += 1

    def _settle(self, seq: Sequence) -> None:
        """Note the tokens that came one by one since the last time, and what they should have taken."""
        state = _steering(seq)
        more = seq.counters.decode_forwards - state.singles
        if more:
            state.singles += more
            state.quiet += more
            state.cycles[str(Mode.AUTOREGRESSIVE)] = state.singles
            state.expected_tokens += more
            state.expected_seconds += more * self._step_seconds
            self.cycles[str(Mode.AUTOREGRESSIVE), 0] += more

    def _best(
        self, free: list[Sequence], expected: list[list[float]], load: _Load, capacity: int, now: int | None
    ) -> tuple[float, int]:
        """Return the rate in tokens per second of the best choice for `free`, and the length of its drafts, 0 for none.

        All of them draft or none does: one call over blocks beside one over single tokens was measured to cost more
        than those few gain that draft well. Draft and verification are a call each. Where several decode, a longer
        draft has to be better than a shorter one by a margin, as any has to be than none.

        Args:
            now: what was last chosen for them, if anything was.
        """
        count = len(free)
        longest = [self._longest(seq) for seq in free]
        limit = max(longest)
        room = [min(most, seq.remaining) for most, seq in zip(longest, free, strict=True)]
        loyalty = _loyalty(count)
        best, chosen = self._rate(load, count, 0, 0.0, 0, capacity), 0
        bar = best * _bar(count, loyal=now == 0)
        for length in [*(length for length in LENGTHS if length < limit), limit]:
            gains = sum(runs[min(length, most)] for runs, most in zip(expected, room, strict=True))
            rate = self._rate(load, 0, count, gains, length, capacity)
            worth = rate * (loyalty if now == length else 1.0)
            if worth > bar:
                best, chosen = rate, length
                bar = worth * (LONGER if count > 1 else 1.0)
        return best, chosen

    def _rate(self, load: _Load, singles: int, blocks: int, gains: float, length: int, capacity: int) -> float:
        """Return tokens per second of the steps in which `singles` and `blocks` more rows run; `gains` in a cycle."""
        seconds = 0.0
        if singles + load.singles:
            seconds += self.curve.seconds(singles + load.singles, 1, capacity)
        if blocks + load.blocks:
            seconds += self.curve.seconds(blocks + load.blocks, max(length, load.width), capacity)
        return (singles + gains / 2) / seconds

    def _longest(self, seq: Sequence) -> int:
        """Return the longest draft that a request may have."""
        return min(seq.params.block_length, max(self._block_size, 1))

    def _tries(self, seq: Sequence, count: int, load: _Load, capacity: int) -> bool:
        """Whether a request has gone on one by one for so long that a draft is tried, to see whether it pays now."""
        state = _steering(seq)
        waited, enough = state.quiet, state.patience * count
        if waited < enough or self._longest(seq) < 2:
            return False
        return waited >= DOUBT * enough or self._could_pay(count, load, capacity)

    def _could_pay(self, count: int, load: _Load, capacity: int) -> bool:
        """Whether drafts would pay if every token of them were right."""
        drafted = self._rate(load, 0, count, count * float(self._block_size), self._block_size, capacity)
        return drafted > self._rate(load, count, 0, 0.0, 0, capacity) * _bar(count, loyal=True)


def _bar(count: int, *, loyal: bool) -> float:
    """Return how many times as fast as single steps drafts must be for `count` requests, `loyal` to single steps."""
    caution = 1.0 + CAUTION * min(count, MANY) if count > 1 else 1.0
    return max(caution, _loyalty(count)) if loyal else caution


def _loyalty(count: int) -> float:
    """Return how many times as fast as the last choice another must be for `count` requests."""
    return 1.0 + LOYALTY + CROWDED * (min(count, MANY) - 1)


def _steering(seq: Sequence) -> Steering:
    assert seq.steering is not None
    return seq.steering


def _expected(seq: Sequence) -> list[float]:
    """Return tokens per cycle by block length; worked out anew when a draft was verified or another stretch begun."""
    state = _steering(seq)
    now = (float(seq.seen.figures[0]), stretch(len(seq.tokens)))
    if state.runs_at != now:
        state.runs, state.runs_at = seq.seen.runs(state.prior, len(seq.tokens)).tolist(), now
    return state.runs


def _decodes(seq: Sequence) -> bool:
    return seq.phase in (Phase.DECODE, Phase.DRAFT, Phase.VERIFY)


def _load(seqs: Items[Sequence]) -> _Load:
    """Return the rows of `seqs` as they are decoded now; a prompt being read is no part of these calls."""
    others = [seq for seq in seqs if seq.phase is not Phase.PREFILL]
    blocks = [seq for seq in others if seq.mode is not Mode.AUTOREGRESSIVE]
    width = max((seq.block_length for seq in blocks), default=0)
    return _Load(len(others) - len(blocks), len(blocks), width)

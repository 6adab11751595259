"""Auto: chooses how requests that leave it open are decoded, anew every few cycles: what gives most tokens a second.

A cost curve says what a call takes, acceptance says what a draft gives; both are measured while running. The choice is
between token by token and drafts of several lengths, which give the same text; diffusion, which gives its own, only
where a request allows it, once for the whole answer. Knows nothing of how a mode decodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as Items
from dataclasses import dataclass

from . import modes
from .acceptance import stretch
from .cost import CostCurve
from .fields import Mode
from .kin import Kin, marks_of
from .output import Decisions
from .sequence import Phase, Sequence
from .steering import Steering

LENGTHS = (4, 8, 12, 16, 24, 32, 48, 64)
"""Lengths of drafts to choose among, as far as the model and the request have them."""
HELD = 8
"""Steps for which a choice of token by token stands."""
HELD_DRAFTS = 2
"""Drafts for which a choice with drafts stands."""
LOYALTY = 0.03
CROWDED = 0.01
"""How much better another choice must be than the last one; and more for each request, since a call is as wide as its
longest draft until all have changed."""
CAUTION = 0.015
"""How much better drafts must be than none, for each of several requests: the best of many estimates promises too
much, and the more rows a call has, the less a right choice of drafts gains and the more a wrong one costs."""
PATIENCE = 16
"""Tokens one by one after which one draft is tried again, for each request that would wait for it; doubled with each
trial."""
WARNED = 96
"""The same where much is known of requests that are alike."""
MUCH = 8.0
"""Verifications that are much."""
DOUBT = 8
"""So many times that, and it is tried even where the curve says that it cannot pay: calls never made are guessed."""
LONGER = 1.02
"""How much better a longer draft must be than a shorter one among several requests."""
TRIAL = 8
"""Longest draft of such a trial."""


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
        self._chosen_for: list[int] = []
        self._length = 0  # of the drafts chosen for them
        self._followed = False  # whether all decode token by token, as was chosen: they go on by themselves
        self._step_seconds = 0.0  # of the call in which they do
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
        exact, _ = self._best([seq], [_expected(seq)], load, capacity)
        if per_token * exact < 1.0:  # with nothing known it is tried: that is how something becomes known
            seq.params = seq.params.diffusing()
            seq.mode = Mode.DIFFUSION
            state = seq.steering
            if known.blocks:
                state.expected_seconds = seconds * known.passes / known.blocks
                state.expected_tokens = known.tokens / known.blocks
            state.cycles[str(seq.mode)] = 1
            self.cycles[str(seq.mode), 0] += 1

    def steer(self, running: Items[Sequence], capacity: int) -> None:
        """Choose for all that leave their mode open together; each follows when it stands between two cycles."""
        free = [seq for seq in running if seq.steering is not None and seq.params.mode is Mode.AUTO and _decodes(seq)]
        if not free:
            return
        self._steps_left -= 1
        if self._steps_left < 0 or self._chosen_for != [id(seq) for seq in free]:
            self._choose(free, _load([seq for seq in running if seq.params.mode is not Mode.AUTO]), capacity)
        elif self._followed:
            return
        for seq in free:
            if seq.steered:
                self._follow(seq, len(free), capacity)
        self._followed = all(seq.mode is Mode.AUTOREGRESSIVE for seq in free)

    def finished(self, seq: Sequence) -> None:
        """Learn from a request that has ended, if its knobs were those that auto would choose."""
        if seq.steering is None:
            return
        if seq.mode is Mode.DIFFUSION and seq.counters.denoise_forwards:
            blocks = -(-len(seq.tokens) // seq.block_length)
            seq.seen.note_blocks(blocks, seq.counters.forwards, len(seq.tokens))
        self._kin.learn(seq.steering.marks, seq.seen)

    def told(self, seq: Sequence) -> Decisions | None:
        """Return what a client may know of what was chosen for `seq`; None where the mode was not open."""
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
        _, length = self._best(free, expected, load, capacity)
        self._length, trying = length, False
        for seq, runs in zip(free, expected, strict=True):
            state = _steering(seq)
            if length:
                state.drafts, state.quiet = min(length, self._longest(seq)), 0
            elif self._tries(seq, len(free), load, capacity):
                state.drafts, state.quiet, state.patience = min(TRIAL, self._longest(seq)), 0, 2 * state.patience
                trying = True
            else:
                state.drafts = 0
            state.gain = runs[state.drafts] if state.drafts else 1.0
        self._steps_left = (2 if trying else 2 * HELD_DRAFTS if length else HELD) - 1
        self._chosen_for = [id(seq) for seq in free]
        self._step_seconds = self.curve.seconds(len(free), 1, capacity)

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

    def _best(self, free: list[Sequence], expected: list[list[float]], load: _Load, capacity: int) -> tuple[float, int]:
        """Return the best rate in tokens per second of `free`, and the length of the drafts for it, 0 for none.

        All of them draft or none does: one call over blocks beside one over single tokens was measured to cost more
        than those few gain that draft well. Draft and verification are a call each. Where several decode, a longer
        draft has to be better than a shorter one by a margin, as any has to be than none.
        """
        count = len(free)
        longest = [self._longest(seq) for seq in free]
        limit = max(longest)
        room = [min(most, seq.remaining) for most, seq in zip(longest, free, strict=True)]
        now = self._length if count > 1 else _steering(free[0]).drafts
        margin = 1.0 + CAUTION * count if count > 1 else 1.0
        loyalty = 1.0 + LOYALTY + CROWDED * (count - 1)
        best, chosen = self._rate(load, count, 0, 0.0, 0, capacity) * (loyalty if not now else 1.0), 0
        for length in [*(length for length in LENGTHS if length < limit), limit]:
            gains = sum(runs[min(length, most)] for runs, most in zip(expected, room, strict=True))
            rate = self._rate(load, 0, count, gains, length, capacity) * (loyalty if now == length else 1.0)
            if rate > best * margin:
                best, chosen = rate, length
                margin = LONGER if count > 1 else 1.0
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
        return drafted > self._rate(load, count, 0, 0.0, 0, capacity)


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

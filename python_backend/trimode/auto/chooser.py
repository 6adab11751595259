"""Auto: chooses how requests in mode auto are decoded, again every few cycles: whatever gives the most tokens a second.

A cost curve says what a call takes, draft statistics say what a draft gives; both are measured while running. The
choice is between single tokens and drafts of several lengths, which give the same text; diffusion, which gives its own,
is chosen only where a request allows it, once for the whole answer. Knows nothing of how a mode decodes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import exp
from typing import NamedTuple

from ..api.answer import Decisions
from ..api.fields import Mode
from ..decoding.committed import Committed
from ..decoding.quadratic_shape import QuadraticShape
from ..decoding.sequence import Phase, SequenceState
from . import free_drafts
from .ahead import AheadDrafts, PassLimits
from .cost_curve import CostCurve, Overhead
from .cycles import Cycles
from .request_state import AutoState
from .similar_requests import SimilarRequests, token_buckets
from .throughput import DraftOutlook, Load, best_choice, shape_bar, trial_length
from .tuning import TUNING


class Call(NamedTuple):
    """An engine call of a step: rows, tokens of the longest, capacity of the cache, seconds, whether quadratic."""

    rows: int
    tokens: int
    capacity: int
    seconds: float
    quadratic: bool = False


class Auto:
    """The chooser. Not thread-safe: the scheduler's thread owns it."""

    def __init__(
        self, curve: CostCurve, block_size: int, most_tokens: int = sys.maxsize, passes: PassLimits | None = None
    ) -> None:
        """Choose drafts of at most `block_size` tokens, shorter ones where a sequence nears its `most_tokens`.

        Args:
            passes: what a quadratic pass may have; None for none.
        """
        self.curve = curve
        self.similar = SimilarRequests()
        self._most_tokens = most_tokens
        self._cycles = Cycles(curve, None if passes is None else AheadDrafts(passes), block_size, most_tokens)
        self.cycles = self._cycles.counts
        """Cycles since the start, by mode and length of draft, 0 without one. For diffusion, answers."""
        self._states = self._cycles.states
        self._steps_left = 0  # of the current choice
        self._last_count = 0  # requests in the last step
        self._length: int | None = None  # the current choice: length of its drafts
        self._shape: QuadraticShape | None = None  # of the passes that it has in place of those
        self._all_single = False  # whether all requests in mode auto decode single tokens, as was chosen
        self._overhead = Overhead()
        self._block_size = block_size

    @property
    def ahead(self) -> AheadDrafts | None:
        """What is known of quadratic passes; None where they are not chosen."""
        return self._cycles.ahead

    @ahead.setter
    def ahead(self, drafts: AheadDrafts | None) -> None:
        self._cycles.ahead = drafts

    def state_of(self, seq: SequenceState) -> AutoState | None:
        """Return the state of a request in mode auto; None for one with a fixed mode."""
        return self._states.get(seq)

    def admit(self, seq: SequenceState, running: Sequence[SequenceState], capacity: int) -> None:
        """Admit a request before its first pass; one that allows diffusion gets it if that should be quickest.

        Args:
            running: the others that are being decoded.
            capacity: entries of the cache at the moment.
        """
        if seq.params.mode is not Mode.AUTO:
            return
        prompt = token_buckets(seq.prompt)
        state = self._states[seq] = AutoState(self.similar.prior(prompt), prompt)
        room = self._most_tokens - len(seq.prompt) - seq.params.max_tokens
        if Mode.DIFFUSION.value in seq.params.auto_allow and room >= seq.block_length:
            self._offer_diffusion(seq, state, _load(running, self.ahead), capacity)
        if seq.mode is Mode.AUTOREGRESSIVE and seq.free_drafts is None:
            self._begin(seq, running, capacity)

    def choose(self, running: Sequence[SequenceState], capacity: int) -> None:
        """Choose for all requests in mode auto together; each applies the choice once it is between two cycles.

        A choice is kept for a few steps, and made again early when a request comes or goes.
        """
        deciding = [seq for seq in running if seq.params.mode is Mode.AUTO and _decodes(seq)]
        if not deciding:
            return
        new = [seq for seq in deciding if not self._states[seq].joined]
        if len(new) == len(deciding):
            self._length = self._shape = None  # what others chose before says nothing
        fixed = _load([seq for seq in running if seq.params.mode is not Mode.AUTO], self.ahead)
        taken = free_drafts.choose(self.curve, deciding, self._states, fixed, capacity)
        self._steps_left -= 1
        if self._steps_left < 0 or new or len(deciding) != self._last_count:
            self._choose(deciding, fixed, capacity)
        elif self._all_single:
            return
        for seq in deciding:
            if seq.between_cycles and seq not in taken:
                self._cycles.follow(seq, len(deciding), capacity)
        self._all_single = all(seq.mode is Mode.AUTOREGRESSIVE for seq in deciding)

    def observe(self, calls: Sequence[Call], around: float | None) -> None:
        """Update the cost curve with a step's calls and with the time around them, which is part of what a token costs.

        Args:
            around: seconds that the step took in addition to these calls. None if the step did more than decode; then
                the average for about as many rows is used.
        """
        for call in calls:
            share = self._overhead.seconds(call.rows, None if around is None else around / len(calls))
            if share is not None:
                _learn(self.curve, self.ahead, call, call.seconds + share)

    def verified(self, seq: SequenceState, outcome: Committed) -> None:
        """Record what a verification confirmed, for a request in mode auto."""
        state = self._states.get(seq)
        if state is None:
            return
        assert outcome.drafted is not None
        count, width, share = len(outcome.tokens), outcome.drafted + 1, 1.0
        if outcome.free is not None:
            state.count(outcome.free, state.free_tokens, state.free_seconds)
            self.cycles[outcome.free, width] += 1
            return
        if seq.shape is not None and self.ahead is not None:
            share = 1.0 / self.ahead.factor
            self.ahead.learn(count, width, state.runs)
        state.stats.add_verification(count, width, share)

    def decisions(self, seq: SequenceState) -> Decisions | None:
        """Return what was chosen for a request in mode auto, for its client; None for one with a fixed mode."""
        state = self._states.get(seq)
        if state is None:
            return None
        self._cycles.count_singles(seq)
        blocks = -(-len(seq.tokens) // seq.block_length) if seq.mode is Mode.DIFFUSION else 1
        return Decisions(
            dict(state.cycles),
            round(1000 * blocks * state.expected_seconds, 3),
            round(blocks * state.expected_tokens, 3),
        )

    def finished(self, seq: SequenceState, *, learn: bool = True) -> None:
        """Forget a request that ended; with `learn`, similar requests will start from its statistics."""
        state = self._states.pop(seq, None)
        if state is None or not learn:
            return
        if seq.mode is Mode.DIFFUSION and seq.counters.denoise_forwards:
            blocks = -(-len(seq.tokens) // seq.block_length)
            state.stats.add_blocks(blocks, seq.counters.forwards, len(seq.tokens))
        self.similar.add(state.prompt, state.stats)
        if self.ahead is not None:
            self.ahead.forget()

    def _begin(self, seq: SequenceState, running: Sequence[SequenceState], capacity: int) -> None:
        """Have the prompt's pass make the first draft if quadratic passes should follow: that saves one of them."""
        outlook, shape = self._cycles.outlook(seq), self._shape
        if not any(other in self._states for other in running):
            load = _load(running, self.ahead)
            rate, _ = best_choice(self.curve, load, capacity, [outlook], None)
            _, shape = self._best_shape([seq], [outlook], load, capacity, shape_bar(rate, kept=False))
        if shape is None or self.ahead is None or seq.guide is not None or shape.length > outlook.longest:
            return
        if len(seq.prompt) <= min(self.ahead.limits.row - shape.length, self._most_tokens - shape.most_tokens):
            seq.switch(Mode.SELF_SPECULATION, shape.length, shape)

    def _offer_diffusion(self, seq: SequenceState, state: AutoState, load: Load, capacity: int) -> None:
        """Decode a request by diffusion if that should be quicker, or if nothing is known about that yet."""
        known = state.prior.blocks
        seconds = self.curve.seconds(1 + load.blocks, max(seq.block_length, load.width), capacity)
        per_token = seconds * known.passes / known.tokens if known.tokens else 0.0
        exact, _ = best_choice(self.curve, load, capacity, outlooks := [self._cycles.outlook(seq)], None)
        exact = max(exact, self._best_shape([seq], outlooks, load, capacity, shape_bar(exact, kept=False))[0])
        # Diffusion gives a different text, so it must be clearly faster.
        if per_token * exact * (1.0 + TUNING.margin) < 1.0:
            seq.diffuse()
            if known.blocks:
                state.expected_seconds = seconds * known.passes / known.blocks
                state.expected_tokens = known.tokens / known.blocks
            state.cycles[str(seq.mode)] = 1
            self.cycles[str(seq.mode), 0] += 1

    def _choose(self, deciding: list[SequenceState], load: Load, capacity: int) -> None:
        """Choose what each of `deciding` does next."""
        for seq in deciding:
            self._cycles.count_singles(seq)
        outlooks = [self._cycles.outlook(seq) for seq in deciding]
        last = None if self._shape is not None else self._length
        rate, length = best_choice(self.curve, load, capacity, outlooks, last) if self._block_size > 1 else (0.0, 0)
        bar = shape_bar(rate, kept=self._shape is not None)
        _, shape = self._best_shape(deciding, outlooks, load, capacity, bar)
        self._length, self._shape, self._last_count = length, shape, len(deciding)
        for seq in deciding:
            self._cycles.join(seq, length, shape)
        steps = TUNING.hold_calls
        if not length and shape is None:
            steps = 2 if self._try_draft(deciding, outlooks, load, capacity) else 2 * steps
        self._steps_left = steps - 1
        self._cycles.step_seconds = self.curve.seconds(len(deciding), 1, capacity)

    def _best_shape(
        self,
        seqs: Sequence[SequenceState],
        outlooks: Sequence[DraftOutlook],
        load: Load,
        capacity: int,
        bar: float,
    ) -> tuple[float, QuadraticShape | None]:
        """Return the rate and the shape of quadratic passes for `seqs`, 0 and None where none exceeds `bar`.

        A request whose form is prescribed has none: what is dictated is written into drafts of their own.
        """
        longest = min((one.longest for one in outlooks if one.longest > 1), default=0)
        if self.ahead is None or longest < 2 or any(seq.guide is not None for seq in seqs):
            return 0.0, None
        return self.ahead.best(self.curve, load, capacity, [one.runs[: longest + 1] for one in outlooks], bar)

    def _try_draft(
        self, deciding: Sequence[SequenceState], outlooks: Sequence[DraftOutlook], load: Load, capacity: int
    ) -> bool:
        """Have the request whose last draft is the longest ago make one, if that is worth it; say whether it is."""
        at = max(range(len(deciding)), key=lambda index: self._states[deciding[index]].waited)
        seq, one = deciding[at], outlooks[at]
        state, horizon = self._states[seq], TUNING.horizon_tokens
        if one.longest < 2:
            return False
        possible = state.stats.possible_runs(state.prior, exp(-state.waited / horizon))
        remaining = min(float(one.remaining), horizon)
        length = trial_length(self.curve, load, capacity, len(deciding), possible, one.longest, remaining)
        if length:
            self._cycles.join(seq, length, None)
        return length > 0


def _decodes(seq: SequenceState) -> bool:
    return seq.phase in (Phase.DECODE, Phase.DRAFT, Phase.VERIFY)


def _load(seqs: Sequence[SequenceState], ahead: AheadDrafts | None) -> Load:
    """Return the rows of `seqs` as they are decoded now; prompts that are being read are not part of these calls."""
    others = [seq for seq in seqs if seq.phase is not Phase.PREFILL]
    quadratic = [seq.block_length * (seq.block_length + 1) for seq in others if seq.shape is not None]
    blocks = [seq.block_length for seq in others if seq.mode is not Mode.AUTOREGRESSIVE and seq.shape is None]
    singles = len(others) - len(blocks) - len(quadratic)
    dearer = 1.0 if ahead is None else ahead.dearer
    return Load(singles, len(blocks), max(blocks, default=0), len(quadratic), max(quadratic, default=0), dearer)


def _learn(curve: CostCurve, ahead: AheadDrafts | None, call: Call, seconds: float) -> None:
    """Teach the curve what a call took. A quadratic pass teaches what it costs more, and the curve nothing."""
    size = call.rows, call.tokens, call.capacity
    if not call.quadratic:
        curve.observe(*size, seconds)
    elif ahead is not None:
        ahead.took(seconds, curve.seconds(*size))

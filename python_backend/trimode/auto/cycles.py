"""Cycles: applies what was chosen to sequences between two cycles, and counts what each of them does.

Knows nothing of how a choice is made.
"""

from __future__ import annotations

from collections import Counter

from ..api.fields import Mode
from ..decoding.modes import registry as modes
from ..decoding.quadratic_shape import QuadraticShape
from ..decoding.sequence import SequenceState
from .ahead import AheadDrafts
from .cost_curve import CostCurve
from .request_state import AutoState
from .throughput import DraftOutlook

QUADRATIC = "quadratic"
"""What cycles are called that are one quadratic pass each."""


class Cycles:
    """The requests in mode auto, what each does next, and what was done.

    Attributes:
        states: of every request in mode auto.
        counts: cycles since the start, by mode and length of draft, 0 without one. For diffusion, answers.
        step_seconds: of a step in which all decode single tokens.
        ahead: what is known of quadratic passes; None where they are not chosen.
    """

    def __init__(self, curve: CostCurve, ahead: AheadDrafts | None, block_size: int, most_tokens: int) -> None:
        self.states: dict[SequenceState, AutoState] = {}
        self.counts: Counter[tuple[str, int]] = Counter()
        self.step_seconds = 0.0
        self.ahead, self._curve = ahead, curve
        self._block_size, self._most_tokens = block_size, most_tokens

    def join(self, seq: SequenceState, length: int, shape: QuadraticShape | None) -> None:
        """Set what a sequence does: drafts of `length`, or of the longest that it may have; 0 sets none.

        Passes of `shape` come before that where it may have drafts as long as the shape's.
        """
        state, longest = self.states[seq], self.longest(seq)
        state.drafts, state.joined, state.shape = min(length, longest), True, None
        runs = state.expected_runs()
        if shape is not None and self.ahead is not None and shape.length <= longest and seq.guide is None:
            state.waited, state.shape = 0, shape
            state.shape_tokens = self.ahead.expected_tokens(runs, shape.length)
        if state.drafts:
            state.waited, state.cycle_tokens = 0, runs[state.drafts]

    def follow(self, seq: SequenceState, running: int, capacity: int) -> None:
        """Apply the choice to a sequence between two cycles; count a draft's cycle and its expected time."""
        state = self.states[seq]
        longest = self.longest(seq)
        if state.shape is not None and self._has_room(seq, state.shape, longest):
            self._follow_shape(seq, state, state.shape, running, capacity)
            return
        length = min(state.drafts, longest)
        if not length:
            if seq.mode is not Mode.AUTOREGRESSIVE:
                modes.switch(seq, Mode.AUTOREGRESSIVE, seq.params.block.block_length)
            return
        if seq.mode is not Mode.SELF_SPECULATION or seq.block_length != length or seq.shape is not None:
            modes.switch(seq, Mode.SELF_SPECULATION, length)
        seconds = 2 * self._curve.seconds(running, length, capacity)
        state.count(f"{Mode.SELF_SPECULATION}/{length}", state.cycle_tokens, seconds)
        self.counts[str(Mode.SELF_SPECULATION), length] += 1

    def _follow_shape(
        self, seq: SequenceState, state: AutoState, shape: QuadraticShape, running: int, capacity: int
    ) -> None:
        """Apply a shape to a sequence between two passes; count the next one and its expected time."""
        if seq.shape != shape:
            modes.switch(seq, Mode.SELF_SPECULATION, shape.length, shape)
        heads = len(seq.current.tokens)
        dearer = 1.0 if self.ahead is None else self.ahead.dearer
        seconds = dearer * self._curve.seconds(running, heads + sum(shape.masks(heads)), capacity)
        state.count(f"{QUADRATIC}/{shape.length}", state.shape_tokens[min(heads, shape.length)], seconds)
        self.counts[QUADRATIC, shape.length] += 1

    def _has_room(self, seq: SequenceState, shape: QuadraticShape, longest: int) -> bool:
        """Whether a sequence may have passes of a shape: short of its capacity's end, as they all are stored there."""
        stored = self.ahead is not None and self.ahead.limits.stored
        return shape.length <= longest and (not stored or seq.cached + shape.most_tokens <= self._most_tokens)

    def count_singles(self, seq: SequenceState) -> None:
        """Count the single tokens since the last time, and their expected time."""
        state = self.states[seq]
        more = seq.counters.decode_forwards - state.singles
        if more:
            state.singles += more
            state.waited += more
            state.count(str(Mode.AUTOREGRESSIVE), 1.0, self.step_seconds, more)
            self.counts[str(Mode.AUTOREGRESSIVE), 0] += more

    def outlook(self, seq: SequenceState) -> DraftOutlook:
        """Return what drafts of a request are worth now."""
        state = self.states[seq]
        runs = state.expected_runs()
        length = state.shape.length if state.shape is not None else state.drafts
        return DraftOutlook(runs, self.longest(seq), seq.remaining, runs[length] if length else 1.0)

    def longest(self, seq: SequenceState) -> int:
        """Return the longest draft that a request may have; its first token is the last one that was committed."""
        room = self._most_tokens - (seq.length - 1)
        return min(seq.params.block.block_length, max(self._block_size, 1), room)

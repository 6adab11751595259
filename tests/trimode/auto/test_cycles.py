"""How a choice is applied to a sequence between two cycles, and what is counted."""

from __future__ import annotations

import pytest
from trimode.api.fields import Mode
from trimode.api.params import GenerationParams
from trimode.auto.acceptance import Prior
from trimode.auto.ahead import AheadDrafts, PassLimits
from trimode.auto.cycles import Cycles
from trimode.auto.request_state import AutoState
from trimode.auto.similar_requests import token_buckets
from trimode.decoding.quadratic_shape import QuadraticShape
from trimode.decoding.sequence import Phase, SequenceState

from tests.support.devices import DEFAULTS, FLAT
from tests.support.toy import MASK

SHAPE = QuadraticShape((0, 0, 0), (4, 0, 0, 3))


def begun(limits: PassLimits | None, most_tokens: int = 500) -> tuple[Cycles, SequenceState]:
    """A request in mode auto behind its first token."""
    cycles = Cycles(FLAT, None if limits is None else AheadDrafts(limits), 8, most_tokens)
    params = GenerationParams.parse({"input_ids": [3], "mode": "auto", "seed": 1, "max_tokens": 90}, DEFAULTS)
    seq = SequenceState(params, [3], MASK, phase=Phase.DECODE, tokens=[4], cached=1)
    cycles.states[seq] = AutoState(Prior(), token_buckets([3]))
    return cycles, seq


def test_a_shape_is_applied_and_its_passes_are_counted() -> None:
    cycles, seq = begun(PassLimits())
    cycles.join(seq, 8, SHAPE)
    cycles.follow(seq, 1, 64)
    assert (seq.mode, seq.block_length, seq.shape) == (Mode.SELF_SPECULATION, 4, SHAPE)
    state = cycles.states[seq]
    assert state.cycles == {"quadratic/4": 1} and cycles.counts == {("quadratic", 4): 1}
    assert (state.expected_tokens, state.expected_seconds) == pytest.approx((1.0, 0.001))  # a draft of one token


def test_drafts_of_their_own_follow_where_a_shape_is_no_longer_chosen() -> None:
    cycles, seq = begun(PassLimits())
    for shape, block in ((SHAPE, 4), (None, 8), (SHAPE, 4)):
        cycles.join(seq, 8, shape)
        cycles.follow(seq, 1, 64)
        assert (seq.shape, seq.block_length) == (shape, block)
    cycles.join(seq, 0, None)
    cycles.follow(seq, 1, 64)
    assert (seq.shape, seq.mode) == (None, Mode.AUTOREGRESSIVE)


@pytest.mark.parametrize(("most", "fits"), [(3, False), (4, False), (5, True)])
def test_near_its_capacity_a_sequence_has_no_drafts_as_long_as_the_shapes(most: int, fits: bool) -> None:
    cycles, seq = begun(PassLimits(), most)
    cycles.join(seq, 0, SHAPE)
    cycles.follow(seq, 1, 64)
    assert (seq.shape is not None) is fits


@pytest.mark.parametrize(("most", "fits"), [(7, False), (8, True)])
def test_where_a_whole_pass_is_stored_it_must_have_room(most: int, fits: bool) -> None:
    """The largest pass has four tokens of the draft and three masks; one entry is there."""
    cycles, seq = begun(PassLimits(stored=True), most)
    cycles.join(seq, 0, SHAPE)
    cycles.follow(seq, 1, 64)
    assert SHAPE.most_tokens == 7
    assert (seq.shape is not None) is fits

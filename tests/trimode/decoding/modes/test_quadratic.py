"""Quadratic self-speculation on scripted passes: what a cycle commits, what it drafts next, where it ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from trimode.api.defaults import Defaults
from trimode.api.fields import Mode
from trimode.api.params import GenerationParams
from trimode.decoding.committed import Committed
from trimode.decoding.modes import registry as modes
from trimode.decoding.modes.quadratic import plan_prompt
from trimode.decoding.quadratic_shape import QuadraticShape
from trimode.decoding.sequence import Phase, SequenceState
from trimode.engines.base import Row, RowResult

VOCAB, EOS, MASK, THINK = 12, 8, 9, 7
PROMPT = [1, 2]
WRONG = 11


SHAPES = [
    QuadraticShape.official(4),
    QuadraticShape.two_pass(4),
    QuadraticShape((0, 0, 0), (4, 0, 0, 4)),
    QuadraticShape((3, 0, 2), (2, 4, 0, 3)),
    QuadraticShape((0, 0, 0), (0, 0, 0, 0)),
]


def sequence(*, adapter: bool = True, prompt: list[int] = PROMPT, **given: object) -> SequenceState:
    asked = {"input_ids": prompt, "seed": 1, "block_length": 4, "max_tokens": 9, "speculation": "quadratic", **given}
    return SequenceState(GenerationParams.parse(asked, Defaults(VOCAB, 8, EOS, THINK)), prompt, MASK, adapter)


def answer(at: int) -> int:
    """What the model says at a position of the answer: 3 4 5 6 3 4 …"""
    return 3 + at % 4


def step(seq: SequenceState, right: Callable[[int], bool]) -> tuple[Row, Committed]:
    """Run one pass: a causal row says `answer`, a mask too where `right`, else WRONG."""
    row = modes.plan(seq, 99)
    logits = np.zeros((len(row.want), VOCAB), dtype=np.float32)
    positions = row.start + np.arange(len(row.tokens)) if row.positions is None else row.positions
    for line, at in zip(logits, row.want, strict=True):
        masked = row.tokens[at] == MASK
        index = int(positions[at]) - len(seq.prompt) + (not masked)
        line[answer(index) if not masked or right(index) else WRONG] = 5
    return row, modes.apply(seq, row, RowResult(logits, MASK))


def drive(seq: SequenceState, right: Callable[[int], bool]) -> list[tuple[Row, Committed]]:
    passes = []
    while not seq.done:
        passes.append(step(seq, right))
    return passes


@pytest.mark.parametrize("right", [lambda at: True, lambda at: False, lambda at: at % 3 > 0, lambda at: at % 2 > 0])
@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 9, 30])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_text_does_not_depend_on_the_drafts(right: Callable[[int], bool], most: int, shape: QuadraticShape) -> None:
    seq = sequence(max_tokens=most)
    seq.shape = shape
    drive(seq, right)
    assert seq.tokens == [answer(at) for at in range(most)]
    assert seq.finish_reason == "length"


def test_right_drafts_give_a_block_in_every_pass() -> None:
    seq = sequence(max_tokens=13)
    passes = drive(seq, lambda at: True)
    assert [len(outcome.tokens) for _, outcome in passes] == [1, 4, 4, 4]
    assert seq.counters.verify_forwards == seq.counters.forwards == 3
    assert (seq.counters.total_draft_tokens, seq.counters.total_accepted_draft_tokens) == (9, 9)


def test_wrong_drafts_give_one_token_in_every_pass() -> None:
    seq = sequence(max_tokens=4)
    passes = drive(seq, lambda at: False)
    assert [len(outcome.tokens) for _, outcome in passes] == [1, 1, 1, 1]
    assert [outcome.verified for _, outcome in passes[1:]] == [0, 0, 0]


def test_a_run_that_ends_where_there_are_no_masks_goes_on_with_the_token_that_is_known() -> None:
    seq = sequence(max_tokens=40)
    seq.shape = QuadraticShape((0, 0, 0), (4, 0, 0, 4))
    passes = drive(seq, lambda at: at % 6 > 0)[1:7]
    # the draft of 0 to 3 is all right, that of 4 to 7 is wrong at 6, as is that of 11 to 14 at 12
    assert [row.tokens[: row.leading].tolist() for row, _ in passes[:3]] == [
        [3, 4, 5, 6],
        [3, 4, WRONG, 6],
        [answer(6)],
    ]
    assert [len(row.tokens) for row, _ in passes] == [8, 8, 5, 8, 8, 5]


def test_in_two_passes_a_draft_is_verified_without_masks() -> None:
    seq = sequence(max_tokens=40)
    seq.shape = QuadraticShape.two_pass(4)
    passes = drive(seq, lambda at: True)[1:7]
    assert [len(row.tokens) for row, _ in passes] == [4, 5, 4, 5, 4, 5]
    assert [len(outcome.tokens) for _, outcome in passes] == [4, 1, 4, 1, 4, 1]


@pytest.mark.parametrize("mode", [Mode.AUTOREGRESSIVE, Mode.SELF_SPECULATION])
def test_another_way_of_decoding_may_follow_each_pass(mode: Mode) -> None:
    """There and back, and from one shape to another, whose first pass verifies the draft that is there."""
    seq = sequence(max_tokens=60)
    for turn in range(10):
        step(seq, lambda at: at % 5 > 0)
        if turn % 2:
            modes.switch(seq, mode, 4)
            step(seq, lambda at: at % 5 > 0)
            while not seq.between_cycles:
                step(seq, lambda at: at % 5 > 0)
        drafted = [] if seq.shape is None else seq.current.tokens.tolist()
        modes.switch(seq, Mode.SELF_SPECULATION, 4, SHAPES[turn % len(SHAPES)])
        assert seq.current.tokens.tolist() == (drafted or seq.tokens[-1:])
    assert seq.tokens == [answer(at) for at in range(len(seq.tokens))]


def test_the_prompts_last_pass_drafts_beside_it() -> None:
    seq = sequence()
    row, outcome = step(seq, lambda at: True)
    assert row.tokens.tolist() == [*PROMPT, *[MASK] * 4]
    assert row.want.tolist() == [1, 3, 4, 5] and row.stored == len(PROMPT)
    assert outcome.prompt_read and outcome.tokens == [answer(0)]
    assert seq.cached == len(PROMPT)
    assert seq.current.tokens.tolist() == [answer(at) for at in range(4)]
    assert isinstance(row.sees, np.ndarray) and isinstance(row.adapter, np.ndarray)
    assert row.sees[:2].tolist() == [[1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]] and row.sees[2:].all()
    assert row.adapter.tolist() == [False, False, True, True, True, True]


def test_a_long_prompt_is_read_in_chunks_that_leave_room_for_the_draft() -> None:
    seq = sequence(prompt=[1] * 20)
    widths = []
    while seq.phase is Phase.PREFILL:
        row = plan_prompt(seq, 10)
        widths.append(len(row.tokens))
        modes.apply(seq, row, RowResult(np.zeros((len(row.want), VOCAB), np.float32), MASK))
    assert widths == [6, 6, 6, 2 + 4]


def test_the_adapter_runs_on_masks_alone_and_only_where_it_is_asked_for() -> None:
    for adapter in (True, False):
        seq = sequence(adapter=adapter)
        passes = drive(seq, lambda at: True)
        for row, _ in passes:
            on = np.broadcast_to(row.adapter, len(row.tokens))
            assert (on == ((row.tokens == MASK) & adapter)).all()


def test_only_the_verified_tokens_stay() -> None:
    seq = sequence(max_tokens=30)
    for row, outcome in drive(seq, lambda at: at % 3 > 0)[1:]:
        assert row.leading == min(4, 30 - (row.start - len(PROMPT)) - 1)
        assert seq.cached >= row.start and len(outcome.tokens) >= 1


def test_an_end_amid_the_accepted_tokens_ends_the_answer() -> None:
    seq = sequence(end_id=answer(2), max_tokens=30)
    drive(seq, lambda at: True)
    assert seq.tokens == [answer(0), answer(1), answer(2)] and seq.finish_reason == "stop"


@pytest.mark.parametrize("budget", range(12))
def test_the_thinking_budget_puts_the_end_marker_where_single_tokens_have_it(budget: int) -> None:
    seq = sequence(max_thinking_tokens=budget, end_think_token_id=THINK, max_tokens=14)
    passes = drive(seq, lambda at: True)
    assert seq.tokens == [THINK if at == budget else answer(at) for at in range(14)]
    assert len(passes) == len(drive(sequence(max_tokens=14), lambda at: True))


def test_what_drafts_are_watched_is_never_the_last() -> None:
    outcomes = [outcome for _, outcome in drive(sequence(), lambda at: True)]
    assert [outcome.denoised for outcome in outcomes] == [False, True, False]

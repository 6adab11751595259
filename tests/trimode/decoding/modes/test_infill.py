"""Filling one gap on scripted logits: what its windows hold, what is kept, committed and scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.infill_state import InfillState, Reading
from trimode.decoding.modes import registry as modes
from trimode.decoding.modes.infill import begin, tokens_in_window
from trimode.decoding.sequence import Phase, SequenceState
from trimode.engines.base import Row, RowResult

VOCAB, EOS, MASK = 12, 8, 9
M = MASK
Guess = tuple[int, float]
"""A token and its probability; the rest is spread evenly."""


def gap(size: int, left: Sequence[int] = (1, 2, 3), right: Sequence[int] = (4, 5, 6), **more: object) -> SequenceState:
    """A sequence that fills `size` tokens; more: `read`, `heads`, `given` of its state, or fields of the request."""
    read, heads, given_ids = more.pop("read", None), more.pop("heads", None), more.pop("given", None)
    asked = {"text_input": "", "suffix": "", "seed": 1, **more}
    params = replace(GenerationParams.parse(asked, Defaults(VOCAB, 8, EOS)), max_tokens=size)
    gap = InfillState(
        size,
        np.array(right, dtype=np.int64),
        read or (lambda filled: [Reading("", [], 0)]),  # type: ignore[arg-type]
        (EOS,),
        None if heads is None else np.array(heads),
        needs_score=read is not None,
        given=given_ids,  # type: ignore[arg-type]
    )
    seq = SequenceState(params, list(left), MASK, infill=gap)
    if not left:
        begin(seq)
    return seq


def step(seq: SequenceState, script: Mapping[int, Guess], chunk: int = 99) -> Row:
    """Run one pass; `script` says what is predicted for each position of the text, (7, 0.95) when silent."""
    row = modes.plan(seq, chunk)
    logits = np.zeros((len(row.want), VOCAB), dtype=np.float32)
    for line, at in zip(logits, row.want, strict=True):
        token, prob = script.get(row.start + int(at) + (row.sees == "causal"), (7, 0.95))
        line[:] = np.log((1 - prob) / (VOCAB - 1))
        line[token] = np.log(prob)
    modes.apply(seq, row, RowResult(logits, MASK))
    return row


def drive(seq: SequenceState, script: Mapping[int, Guess] | None = None, chunk: int = 99) -> list[Row]:
    rows = []
    while not seq.done:
        rows.append(step(seq, script or {}, chunk))
    return rows


def windows(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.sees == "block"]


# What a window holds


@pytest.mark.parametrize(
    ("size", "left", "right", "tokens", "start", "want"),
    [
        (2, [1, 2, 3], [4, 5, 6, 4, 5, 6, 4, 5], [3, M, M, 4, 5, 6, 4, 5], 2, [1, 2]),
        (2, [1, 2, 3, 4, 5, 6], [4, 5], [3, 4, 5, 6, M, M, 4, 5], 2, [4, 5]),
        (2, [1, 2, 3, 4, 5, 6], [], [1, 2, 3, 4, 5, 6, M, M], 0, [6, 7]),
        (1, [], [4, 5, 6], [M, 4, 5, 6, M, M, M, M], 0, [0]),
        (1, [1], [4], [1, M, 4, M, M, M, M, M], 0, [1]),
        (3, [], [], [M] * 8, 0, [0, 1, 2]),
        (7, [1, 2], [], [2, M, M, M, M, M, M, M], 1, list(range(1, 8))),
    ],
    ids=["right fills", "left fills", "no right", "no left", "both short", "nothing known", "as wide as it gets"],
)
def test_a_window_is_a_block_of_known_text_the_gap_and_what_follows(
    size: int, left: list[int], right: list[int], tokens: list[int], start: int, want: list[int]
) -> None:
    row = windows(drive(gap(size, left, right)))[0]
    assert (row.tokens.tolist(), row.start, row.want.tolist()) == (tokens, start, want)
    assert (row.sees, row.keep, row.adapter) == ("block", False, False)


def test_the_last_position_is_filled_too() -> None:
    seq = gap(7, [1], [])
    drive(seq, {at: (3 + at % 4, 0.95) for at in range(8)})
    assert seq.tokens == [3 + at % 4 for at in range(1, 8)]


def test_a_window_needs_as_many_passes_as_the_threshold_says() -> None:
    rows = windows(drive(gap(3), {3: (4, 0.5), 4: (5, 0.8), 5: (6, 0.95)}))
    assert [len(row.want) for row in rows] == [3, 2, 1]


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(0, 80), st.integers(3, 64))
def test_stretches_fill_the_gap_and_leave_half_of_the_last_window_to_the_right_side(
    size: int, right: int, block: int
) -> None:
    counts, left = [], size
    while left:
        counts.append(tokens_in_window(left, right, block))
        left -= counts[-1]
    assert all(1 <= count < block for count in counts)
    assert counts[-1] <= block - 1 - min(right, block // 2)
    assert len(counts) == 1 or max(counts[:-1]) - min(counts[:-1]) <= 1


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 20), st.integers(0, 20), st.integers(3, 8))
def test_every_window_is_full_and_sees_both_sides(size: int, left: int, right: int, block: int) -> None:
    before, after = [1 + at % 3 for at in range(left)], [4 + at % 3 for at in range(right)]
    seq = gap(size, before, after, block_length=block)
    whole = [*before, *[7] * size, *after]
    for row in windows(drive(seq)):
        first = row.start + int(row.want[0])
        assert len(row.tokens) == block
        for at, token in enumerate(row.tokens.tolist(), start=row.start):
            hidden = first <= at < left + size or at >= len(whole)
            assert token == (MASK if hidden else whole[at])
        if len(whole) >= block:
            assert row.start + block <= len(whole), "padding where there is known text"
    assert seq.tokens == [7] * size
    ends = [row.start + block for row in windows(drive(gap(size, before, after, block_length=block)))]
    assert ends[-1] >= min(left + size + min(right, block // 2), left + size + right)


def test_a_gap_wider_than_a_window_is_kept_stretch_by_stretch() -> None:
    rows = drive(gap(20, [1, 2], [4] * 8))
    assert [len(row.want) for row in windows(rows)] == [6, 6, 5, 3]
    commits = rows[2:-1:2]
    assert [(row.start, len(row.tokens), row.keep, row.sees) for row in commits] == [
        (2, 6, True, "causal"),
        (8, 6, True, "causal"),
        (14, 5, True, "causal"),
    ]
    assert all(len(row.want) == 0 for row in commits)
    assert windows(rows)[0].tokens.tolist() == [2, *[M] * 7]
    assert windows(rows)[-1].tokens.tolist() == [7, M, M, M, 4, 4, 4, 4]


def test_counters_of_a_long_gap() -> None:
    seq = gap(20, [1, 2], [4] * 8)
    drive(seq)
    counts = seq.counters
    assert (counts.prefill_forwards, counts.denoise_forwards, counts.commit_forwards) == (1, 4, 3)
    assert (counts.output_tokens, counts.score_forwards, seq.finish_reason) == (20, 0, "stop")


@pytest.mark.parametrize("more", [{}, {"temperature": 1.5, "seed": 4}, {"reveal": "entropy"}, {"reveal": "margin"}])
@pytest.mark.parametrize("never", [EOS, MASK])
def test_special_tokens_never_fill_a_gap(never: int, more: dict[str, Any]) -> None:
    seq = gap(20, **more)
    drive(seq, {at: (never, 0.99) for at in range(40)})
    assert len(seq.tokens) == 20 and never not in seq.tokens


def test_log_probs_stand_beside_their_tokens() -> None:
    seq = gap(2, return_log_probs=True)
    drive(seq, {3: (4, 0.95), 4: (5, 0.92)})
    # the end token cannot be chosen, so what it had is shared out
    shares = [0.95 / (1 - 0.05 / 11), 0.92 / (1 - 0.08 / 11)]
    assert np.exp(seq.log_probs) == pytest.approx(shares, rel=1e-5)


# The score


def reading(*ids: int, first: int = 3, text: str = "") -> list[Reading]:
    """The only reading: `ids` from the gap on, behind the usual left side up to there."""
    return [Reading(text, [*(1, 2, 3)[:first], *ids], first)]


def test_the_score_is_the_mean_over_gap_and_right_side() -> None:
    seq = gap(2, read=lambda filled: reading(*filled, 4, 5))
    rows = drive(seq, {3: (7, 0.95), 4: (7, 0.95), 5: (4, 0.5), 6: (5, 0.25)})
    assert (rows[-1].tokens.tolist(), rows[-1].start, rows[-1].want.tolist()) == ([3, 7, 7, 4], 2, [0, 1, 2, 3])
    assert seq.infill is not None and seq.infill.score is not None
    assert seq.infill.score == pytest.approx(np.log([0.95, 0.95, 0.5, 0.25]).mean(), rel=1e-5)
    assert (seq.counters.score_forwards, seq.finish_reason) == (1, "stop")


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_a_long_text_is_scored_in_chunks(chunk: int) -> None:
    script = {3: (7, 0.95), 4: (7, 0.95), 5: (4, 0.5), 6: (5, 0.25)}
    at_once, chunked = (gap(2, read=lambda filled: reading(*filled, 4, 5)) for _ in range(2))
    drive(at_once, script)
    rows = [row for row in drive(chunked, script, chunk) if row.sees == "causal"]
    assert max(len(row.tokens) for row in rows) <= chunk
    assert [token for row in rows[-(-3 // chunk) :] for token in row.tokens.tolist()] == [3, 7, 7, 4]
    assert all(row.keep for row in rows)
    assert chunked.infill and at_once.infill and chunked.infill.score == at_once.infill.score


def test_a_reading_that_changes_the_prompts_last_tokens_is_scored_from_there() -> None:
    rows = drive(gap(1, read=lambda filled: reading(6, 4, first=2)))
    assert (rows[-1].tokens.tolist(), rows[-1].start) == ([2, 6], 1)


def test_tokens_that_only_hold_the_left_side_are_read_again_and_not_scored() -> None:
    seq = gap(1, read=lambda filled: [Reading("", [1, 6, 6, 7, 4], 3)])
    rows = drive(seq, {1: (6, 0.5), 2: (6, 0.5), 3: (7, 0.25), 4: (4, 0.25)})
    assert (rows[-1].tokens.tolist(), rows[-1].start) == ([1, 6, 6, 7], 0)
    assert seq.infill is not None and seq.infill.score == pytest.approx(np.log(0.25), rel=1e-5)


def test_a_seam_that_swallows_the_gap_is_scored_all_the_same() -> None:
    seq = gap(1, right=[], read=lambda filled: reading(2, first=1))
    rows = drive(seq)
    assert (rows[-1].tokens.tolist(), rows[-1].start) == ([1], 0)


def test_a_stretch_that_was_kept_is_scored_like_the_last() -> None:
    seq = gap(20, [1, 2], [4] * 8, read=lambda filled: reading(*filled, 4, first=2))
    row = drive(seq)[-1]
    assert (row.start, len(row.tokens)) == (1, 21)


def test_a_single_token_without_context_has_no_score() -> None:
    seq = gap(1, [], [], read=lambda filled: reading(*filled, first=0))
    rows = drive(seq)
    assert len(rows) == 1 and seq.infill is not None and seq.infill.score is None
    assert seq.finish_reason == "stop"


def test_a_gap_that_gives_no_text_at_all_has_no_score() -> None:
    seq = gap(2, [], [], read=lambda filled: reading(first=0))
    drive(seq)
    assert seq.infill is not None and seq.infill.score is None


# Readings


@pytest.mark.parametrize(("likely", "kept"), [(4, "as it is"), (5, "shorter")])
def test_of_two_readings_the_likelier_is_taken(likely: int, kept: str) -> None:
    both = [*reading(7, 4, text="as it is"), *reading(5, 6, text="shorter")]
    seq = gap(1, read=lambda filled: both)
    causal = {3: (7, 0.9), 4: (4, 0.9)} if likely == 4 else {3: (5, 0.9), 4: (6, 0.9)}
    rows = drive(seq, causal)
    assert seq.infill is not None and seq.infill.reading is not None and seq.infill.reading.text == kept
    assert seq.infill.score == pytest.approx(np.log(0.9), rel=1e-5)
    assert [row.start for row in rows[-2:]] == [2, 2] and seq.counters.score_forwards == 2


def test_a_second_reading_is_scored_where_the_slot_no_longer_holds_its_text() -> None:
    """The first one wrote over the prompt's last token."""
    seq = gap(1, read=lambda filled: [Reading("a", [1, 2, 6, 7], 2), Reading("b", [1, 2, 3, 7], 3)])
    rows = drive(seq)
    assert [(row.start, row.tokens.tolist()) for row in rows[-2:]] == [(1, [2, 6]), (1, [2, 3])]


def test_a_gap_of_one_reading_that_nobody_scores_is_done() -> None:
    seq = gap(1)
    assert len(drive(seq)) == 2 and seq.infill is not None
    assert seq.infill.reading is not None and seq.infill.score is None


def test_tokens_that_stand_for_no_text_end_without_a_reading() -> None:
    seq = gap(1, read=lambda filled: [])
    drive(seq)
    assert seq.finish_reason == "stop" and seq.infill is not None and seq.infill.reading is None


def test_what_is_given_is_scored_and_not_filled() -> None:
    seq = gap(2, given=[5, 6], read=lambda filled: reading(*filled, 4))
    rows = drive(seq, {3: (5, 0.5), 4: (6, 0.5), 5: (4, 0.5)})
    assert windows(rows) == [] and seq.tokens == [5, 6]
    assert seq.infill is not None and seq.infill.score == pytest.approx(np.log(0.5), rel=1e-5)


@pytest.mark.parametrize("more", [{}, {"reveal": "entropy"}, {"temperature": 2.0, "seed": 9}])
def test_the_first_token_is_one_of_the_heads(more: dict[str, Any]) -> None:
    seq = gap(12, heads=[5, 10, EOS], **more)
    rows = drive(seq, {at: (7, 0.99) for at in range(40)})
    assert seq.tokens[0] in (5, 10) and len(windows(rows)) >= 2
    if not more:
        assert seq.tokens[1:] == [7] * 11


def test_unread_counts_the_prompt_then_the_text_to_score() -> None:
    seq = gap(2, read=lambda filled: reading(*filled, 4, 5))
    assert seq.unread == 3
    step(seq, {})
    assert seq.unread == 0
    step(seq, {})
    assert (seq.phase, seq.unread) == (Phase.SCORE, 4)

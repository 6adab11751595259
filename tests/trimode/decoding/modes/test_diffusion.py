"""Block diffusion on scripted logits: what a pass sees, keeps, commits, and when a block or the answer ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.modes import registry as modes
from trimode.decoding.sequence import Phase, SequenceState
from trimode.engines.base import Row, RowResult

from tests.support.arrays import Array

VOCAB, EOS, MASK, THINK = 12, 8, 9, 7
PROMPT = [1, 2]
Guess = tuple[int, float]
"""A token and its probability; the rest is spread evenly."""


def sequence(*, reference: bool = False, **given: object) -> SequenceState:
    asked = {"input_ids": PROMPT, "seed": 1, "mode": "diffusion", "block_length": 4, "max_tokens": 8, **given}
    params = GenerationParams.parse(asked, Defaults(VOCAB, 8, EOS, THINK), reference=reference)
    return SequenceState(params, PROMPT, MASK)


def logits(guesses: list[Guess]) -> Array:
    rows = np.zeros((len(guesses), VOCAB), dtype=np.float32)
    for row, (token, prob) in zip(rows, guesses, strict=True):
        row[:] = np.log((1 - prob) / (VOCAB - 1))
        row[token] = np.log(prob)
    return rows


def step(seq: SequenceState, script: Mapping[int, Guess]) -> tuple[Row, list[int]]:
    """Run one pass; `script` says what is predicted for each position of the answer, (3, 0.5) when silent."""
    row = modes.plan(seq, 99)
    shift = len(PROMPT) - (row.sees == "causal")
    guesses = [script.get(row.start + int(at) - shift, (3, 0.5)) for at in row.want]
    return row, modes.apply(seq, row, RowResult(logits(guesses), MASK)).tokens


def drive(seq: SequenceState, script: Mapping[int, Guess] | None = None) -> list[Row]:
    rows = []
    while not seq.done:
        rows.append(step(seq, script or {})[0])
    return rows


def wants(rows: list[Row]) -> list[list[int]]:
    return [row.want.tolist() for row in rows if row.sees == "block"]


def test_a_block_starts_with_the_causal_token_and_masks() -> None:
    seq = sequence()
    step(seq, {0: (4, 0.9)})
    row = modes.plan(seq, 99)
    assert (row.tokens.tolist(), row.start, row.want.tolist()) == ([4, MASK, MASK, MASK], 2, [1, 2, 3])
    assert (row.sees, row.keep, row.adapter) == ("block", False, False)


def test_all_above_the_threshold_are_kept_in_one_pass() -> None:
    seq = sequence(max_tokens=4, threshold=0.9)
    drive(seq, {at: (3 + at, 0.95) for at in range(4)})
    assert (seq.tokens, seq.counters.denoise_forwards) == ([3, 4, 5, 6], 1)


def test_with_none_above_the_threshold_the_surest_is_kept() -> None:
    rows = drive(sequence(max_tokens=4), {1: (4, 0.5), 2: (5, 0.8), 3: (6, 0.6)})
    assert wants(rows) == [[1, 2, 3], [1, 3], [1]]


def test_a_kept_token_is_seen_by_the_next_pass() -> None:
    rows = drive(sequence(max_tokens=4), {2: (5, 0.8)})
    assert rows[2].tokens.tolist() == [3, MASK, 5, MASK]


@pytest.mark.parametrize(
    ("block", "steps", "kept"),
    [
        (4, 1, [3]),
        (4, 2, [2, 1]),
        (4, 3, [1, 1, 1]),
        (4, 4, [1, 1, 1]),
        (8, 2, [4, 3]),
        (8, 3, [3, 2, 2]),
        (8, 5, [2, 2, 1, 1, 1]),
        (16, 4, [4, 4, 4, 3]),
    ],
)
def test_steps_split_the_block_evenly_the_larger_first(block: int, steps: int, kept: list[int]) -> None:
    seq = sequence(block_length=block, max_tokens=block, reveal="steps", denoise_steps=steps)
    sizes = [len(want) for want in wants(drive(seq))]
    assert [a - b for a, b in zip(sizes, [*sizes[1:], 0], strict=True)] == kept


def test_fewer_steps_raise_what_the_threshold_keeps() -> None:
    seq = sequence(max_tokens=4, denoise_steps=2)
    drive(seq)
    assert (seq.counters.denoise_forwards, len(seq.tokens)) == (2, 4)


def test_an_end_token_behind_masks_does_not_end_the_block() -> None:
    seq = sequence()
    step(seq, {})
    _, committed = step(seq, {2: (EOS, 0.95)})
    assert (committed, seq.phase) == ([], Phase.DENOISE)


def test_an_end_token_with_no_mask_before_it_ends_the_answer() -> None:
    seq = sequence()
    drive(seq, {1: (4, 0.95), 2: (EOS, 0.95)})
    assert (seq.tokens, seq.finish_reason) == ([3, 4, EOS], "stop")
    assert (seq.counters.denoise_forwards, seq.counters.commit_forwards) == (1, 0)


def test_a_block_ends_when_the_gap_before_the_end_token_closes() -> None:
    seq = sequence()
    drive(seq, {1: (4, 0.6), 2: (EOS, 0.95), 3: (5, 0.5)})
    assert (seq.tokens, seq.counters.denoise_forwards) == ([3, 4, EOS], 2)


def test_an_end_token_at_once_needs_no_block() -> None:
    seq = sequence()
    drive(seq, {0: (EOS, 0.9)})
    assert (seq.tokens, seq.finish_reason, seq.counters.forwards) == ([EOS], "stop", 0)


def test_an_end_token_as_the_seed_of_a_later_block_needs_no_denoising() -> None:
    seq = sequence()
    drive(seq, {**{at: (5, 0.95) for at in range(4)}, 4: (EOS, 0.9)})
    assert (seq.tokens, seq.counters.denoise_forwards, seq.counters.commit_forwards) == ([5, 5, 5, 5, EOS], 1, 1)


@pytest.mark.parametrize(("max_tokens", "commits"), [(4, 0), (5, 1), (8, 1), (9, 2)])
def test_the_last_block_is_not_committed_to_the_cache(max_tokens: int, commits: int) -> None:
    seq = sequence(max_tokens=max_tokens)
    drive(seq)
    assert (seq.counters.commit_forwards, seq.finish_reason) == (commits, "length")


def test_the_commit_is_a_causal_pass_that_predicts_the_next_seed() -> None:
    rows = drive(sequence(), {4: (6, 0.9)})
    at = next(at for at, row in enumerate(rows) if at and row.sees == "causal")
    commit, following = rows[at : at + 2]
    assert (commit.tokens.tolist(), commit.start, commit.want.tolist()) == ([3, 3, 3, 3], 2, [3])
    assert commit.keep
    assert (following.tokens.tolist(), following.start) == ([6, MASK, MASK, MASK], 6)


def test_the_tail_block_fills_only_what_was_asked_for() -> None:
    seq = sequence(max_tokens=6)
    rows = drive(seq, {at: (5, 0.95) for at in range(9)})
    assert (rows[-1].tokens.tolist(), rows[-1].want.tolist()) == ([5, MASK, MASK, MASK], [1])
    assert seq.tokens == [5] * 6


def test_one_token_needs_no_denoising() -> None:
    seq = sequence(max_tokens=1)
    drive(seq)
    assert (seq.tokens, seq.finish_reason, seq.counters.forwards) == ([3], "length", 0)


def test_a_block_of_one_is_a_commit_per_token() -> None:
    seq = sequence(block_length=1, max_tokens=3)
    drive(seq)
    assert (len(seq.tokens), seq.counters.commit_forwards, seq.counters.denoise_forwards) == (3, 2, 0)


def test_tokens_are_committed_block_by_block() -> None:
    seq = sequence()
    runs = []
    while not seq.done:
        runs.append(len(step(seq, {})[1]))
    assert [run for run in runs if run] == [4, 4]


@pytest.mark.parametrize(
    "given", [{}, {"reveal": "margin"}, {"reveal": "leftmost"}, {"temperature": 1.0, "end_id": -1}]
)
def test_the_mask_id_is_never_chosen(given: dict[str, Any]) -> None:
    seq = sequence(**given)
    drive(seq, {at: (MASK, 0.99) for at in range(8)})
    assert len(seq.tokens) == 8
    assert MASK not in seq.tokens


def test_the_mask_id_is_not_chosen_as_an_end_token_either() -> None:
    seq = sequence(end_id=MASK)
    drive(seq)
    assert MASK not in seq.tokens


@pytest.mark.parametrize("rule", ["threshold", "margin", "entropy"])
def test_a_position_that_predicts_the_mask_is_not_the_surest(rule: str) -> None:
    rows = drive(sequence(max_tokens=3, block_length=3, reveal=rule), {1: (MASK, 0.99), 2: (5, 0.6)})
    assert wants(rows) == [[1, 2], [1]]


@pytest.mark.parametrize("budget", range(9))
def test_the_budget_puts_the_end_of_thinking_at_its_position(budget: int) -> None:
    seq = sequence(max_tokens=9, max_thinking_tokens=budget)
    drive(seq)
    assert [at for at, token in enumerate(seq.tokens) if token == THINK] == [budget]


def test_the_end_of_thinking_is_in_the_block_from_its_first_pass() -> None:
    rows = drive(sequence(max_thinking_tokens=2))
    assert rows[1].tokens.tolist() == [3, MASK, THINK, MASK]


def test_a_seed_that_ends_thinking_makes_the_forced_end_needless() -> None:
    seq = sequence(max_tokens=4, max_thinking_tokens=2)
    drive(seq, {0: (THINK, 0.9)})
    assert seq.tokens == [THINK, 3, 3, 3]


def test_an_earlier_block_that_ended_thinking_makes_the_forced_end_needless() -> None:
    seq = sequence(max_thinking_tokens=6)
    drive(seq, {2: (THINK, 0.95)})
    assert seq.tokens.count(THINK) == 1


def test_log_probs_are_those_at_the_moment_of_keeping() -> None:
    seq = sequence(max_tokens=4, return_log_probs=True)
    drive(seq, {0: (3, 0.7), 1: (4, 0.95), 2: (5, 0.8), 3: (6, 0.92)})
    assert np.exp(seq.log_probs) == pytest.approx([0.7, 0.95, 0.8, 0.92], rel=1e-5)


def test_penalties_count_the_block_so_far() -> None:
    seq = sequence(max_tokens=3, block_length=3, presence_penalty=2.0, frequency_penalty=2.0)
    drive(seq, {0: (3, 0.5), 1: (4, 0.6), 2: (4, 0.5)})
    assert seq.tokens[1] == 4 and seq.tokens[2] != 4


# The released loop to the letter


def test_reference_spends_its_schedule_and_leaves_the_rest_masked() -> None:
    """A sure mask id takes every reveal, and without a threshold the last of L steps has none left."""
    seq = sequence(reference=True, reveal="steps", max_tokens=4)
    drive(seq, {1: (MASK, 0.99)})
    assert (seq.tokens, seq.counters.denoise_forwards) == ([3, MASK, MASK, MASK], 4)


def test_reference_denoises_a_seed_that_is_the_mask() -> None:
    seq = sequence(reference=True, max_tokens=4)
    step(seq, {0: (MASK, 0.9)})
    assert modes.plan(seq, 99).want.tolist() == [0, 1, 2, 3]


def test_reference_commits_the_last_block_too() -> None:
    seq = sequence(reference=True, max_tokens=4)
    drive(seq)
    assert (seq.tokens, seq.counters.commit_forwards) == ([3, 3, 3, 3], 1)


def test_reference_spends_two_passes_on_an_end_token_at_once() -> None:
    seq = sequence(reference=True, max_tokens=4)
    drive(seq, {0: (EOS, 0.9)})
    assert (seq.tokens, seq.counters.denoise_forwards, seq.counters.commit_forwards) == ([EOS], 1, 1)


def test_reference_may_keep_the_mask_id_and_spend_every_step_on_it() -> None:
    seq = sequence(reference=True, max_tokens=4)
    drive(seq, {2: (MASK, 0.99)})
    assert seq.tokens == [3, MASK, MASK, MASK]
    assert seq.counters.denoise_forwards == 4

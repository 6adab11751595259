"""The finishing pass of diffusion on scripted logits: what it costs, masks again, keeps and takes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.modes import registry as modes
from trimode.decoding.review import change_stays
from trimode.decoding.sequence import SequenceState
from trimode.engines.base import Row, RowResult

from tests.support.arrays import Array

VOCAB, EOS, MASK, THINK = 12, 8, 9, 7
PROMPT = [1, 2]
Guess = tuple[int, float]
"""A token and its probability; the rest is spread evenly."""
SURE = (3, 0.99)


def sequence(**given: object) -> SequenceState:
    asked = {"input_ids": PROMPT, "seed": 1, "mode": "diffusion", "block_length": 4, "max_tokens": 8, **given}
    params = GenerationParams.parse({"revise_rounds": 1, **asked}, Defaults(VOCAB, 8, EOS, THINK))
    return SequenceState(params, PROMPT, MASK)


def logits(guesses: list[Guess]) -> Array:
    rows = np.zeros((len(guesses), VOCAB), dtype=np.float32)
    for row, (token, prob) in zip(rows, guesses, strict=True):
        row[:] = np.log((1 - prob) / (VOCAB - 1))
        row[token] = np.log(prob)
    return rows


def drive(seq: SequenceState, seen: Callable[[Row, int], Guess]) -> list[Row]:
    """Run to the end; `seen` says what a pass predicts for each position of the answer."""
    rows = []
    while not seq.done:
        row = modes.plan(seq, 99)
        shift = len(PROMPT) - (row.sees == "causal")
        guesses = [seen(row, row.start + int(at) - shift) for at in row.want]
        modes.apply(seq, row, RowResult(logits(guesses), MASK))
        rows.append(row)
    return rows


def script(
    first: Mapping[int, int] = {}, again: Mapping[int, int] = {}, causal: Mapping[int, Guess] = {}
) -> Callable[[Row, int], Guess]:
    """Say 3 everywhere, surely; but a block's first round says `first`, later ones `again`, causal passes `causal`."""

    def seen(row: Row, at: int) -> Guess:
        if row.sees == "causal":
            return causal.get(at, SURE)
        fresh = row.tokens[1:].tolist().count(MASK) == len(row.tokens) - 1
        return ((first if fresh else again).get(at, 3), 0.95)

    return seen


def kinds(rows: list[Row]) -> str:
    """Spell the passes: p prefill, d denoising, s scoring, c commit."""
    letters = {True: "s", False: "c"}
    return "".join("d" if row.sees == "block" else letters[len(row.want) > 1] for row in rows[1:])


def test_a_block_without_unlikely_tokens_costs_no_pass_more() -> None:
    plain, finished = sequence(revise_rounds=0, max_tokens=12), sequence(max_tokens=12)
    assert (kinds(drive(plain, script())), kinds(drive(finished, script()))) == ("dcdcd", "dsdsds")
    assert finished.tokens == plain.tokens and finished.finish_reason == plain.finish_reason == "length"
    assert (finished.counters.score_forwards, finished.counters.commit_forwards) == (3, 0)


def test_the_pass_that_scores_sees_and_keeps_the_block_and_asks_for_all_rows() -> None:
    rows = drive(sequence(), script())
    scored = rows[2]
    assert (scored.tokens.tolist(), scored.start, scored.keep) == ([3, 3, 3, 3], 2, True)
    assert scored.want.tolist() == [0, 1, 2, 3]


def test_an_unlikely_token_is_masked_and_the_likelier_one_kept() -> None:
    seq = sequence(max_tokens=4)
    rows = drive(seq, script(first={2: 6}))
    assert kinds(rows) == "dsds"
    assert rows[3].tokens.tolist() == [3, 3, MASK, 3] and rows[3].want.tolist() == [2]
    assert seq.tokens == [3, 3, 3, 3]


def test_a_change_that_makes_the_block_less_likely_is_taken_back() -> None:
    seq = sequence()
    rows = drive(seq, script(first={2: 6}, again={2: 5}, causal={2: (6, 0.1)}))
    assert rows[3].tokens.tolist() == [3, 3, MASK, 3]
    assert seq.tokens[:4] == [3, 3, 6, 3]
    assert kinds(rows)[:5] == "dsdsc", "the slot held the refused tokens"
    assert rows[5].tokens.tolist() == [3, 3, 6, 3]


def test_a_change_back_to_the_same_tokens_needs_no_commit() -> None:
    seq = sequence()
    rows = drive(seq, script(first={2: 6}, again={2: 6}, causal={2: (6, 0.1)}))
    assert kinds(rows)[:4] == "dsds" and seq.tokens[:4] == [3, 3, 6, 3]
    assert seq.counters.commit_forwards == 0


def test_always_keeps_what_is_less_likely_too() -> None:
    seq = sequence(max_tokens=4, accept="always")
    drive(seq, script(first={2: 6}, again={2: 5}, causal={2: (6, 0.1)}))
    assert seq.tokens == [3, 3, 5, 3]


@pytest.mark.parametrize(("rounds", "passes"), [(1, "dsds"), (2, "dsdsds"), (3, "dsdsdsds")])
def test_rounds_bound_how_often_a_block_is_masked_again(rounds: int, passes: str) -> None:
    turns = iter([5, 6, 5, 6, 5])

    def seen(row: Row, at: int) -> Guess:
        if row.sees == "causal" or at != 2:
            return SURE
        return next(turns), 0.95

    seq = sequence(max_tokens=4, revise_rounds=rounds, accept="always")
    assert kinds(drive(seq, seen)) == passes


def test_a_fraction_takes_the_least_likely() -> None:
    seq = sequence(max_tokens=8, block_length=8, revise_fraction=0.3)
    causal = {5: (3, 0.4), 2: (3, 0.5)}
    rows = drive(seq, script(causal=causal))
    assert len(rows[3].want) == 3, "0.3 of the seven that can be"
    assert {2, 5} <= set(rows[3].want.tolist())


@pytest.mark.parametrize(("steps", "passes"), [(1, "ds"), (2, "dsds"), (3, "dsdsds"), (4, "dsdsdsds"), (5, "dsdsdsds")])
def test_all_rounds_together_take_no_more_passes_than_steps(steps: int, passes: str) -> None:
    asked = {"max_tokens": 8, "block_length": 8, "denoise_steps": steps, "threshold": 0.0, "revise_rounds": 3}
    turns = iter([5, 6, 5, 6])

    def seen(row: Row, at: int) -> Guess:
        return SURE if row.sees == "causal" or at != 2 else (next(turns), 0.95)

    assert kinds(drive(sequence(**asked, accept="always"), seen)) == passes


def test_the_end_stays_and_what_follows_it_is_not_scored() -> None:
    seq = sequence(max_tokens=8, block_length=8)
    rows = drive(seq, script(first={1: 6, 3: EOS, 5: 6}))
    scored = rows[2]
    assert scored.tokens.tolist() == [3, 6, 3, EOS]
    assert rows[3].want.tolist() == [1], "the end was as unlikely and stays"
    assert (seq.tokens, seq.finish_reason) == ([3, 3, 3, EOS], "stop")


def test_an_end_that_comes_anew_shortens_the_answer() -> None:
    seq = sequence(max_tokens=8, block_length=8, accept="always")
    drive(seq, script(first={2: 6}, again={2: EOS}))
    assert (seq.tokens, seq.finish_reason) == ([3, 3, EOS], "stop")


def test_what_the_thinking_budget_forces_stays() -> None:
    seq = sequence(max_tokens=4, max_thinking_tokens=2)
    rows = drive(seq, script())
    assert seq.tokens == [3, 3, THINK, 3] and kinds(rows) == "ds"


def test_a_block_of_its_first_token_alone_is_not_scored() -> None:
    seq = sequence(max_tokens=1)
    assert kinds(drive(seq, script())) == "" and seq.tokens == [3]


def test_a_limit_inside_a_block_bounds_what_is_scored() -> None:
    seq = sequence(max_tokens=6)
    rows = drive(seq, script())
    assert rows[-1].tokens.tolist() == [3, 3] and kinds(rows) == "dsds"
    assert len(seq.tokens) == 6


def test_log_probs_are_those_of_the_tokens_that_stay() -> None:
    kept, restored = (sequence(max_tokens=4, return_log_probs=True) for _ in range(2))
    drive(kept, script(first={2: 6}))
    drive(restored, script(first={2: 6}, again={2: 5}, causal={2: (6, 0.1)}))
    assert len(kept.log_probs) == len(restored.log_probs) == 4
    assert np.exp(kept.log_probs[1:]) == pytest.approx([0.95] * 3, rel=1e-5)
    assert np.exp(restored.log_probs[1:]) == pytest.approx([0.95] * 3, rel=1e-5)


@pytest.mark.parametrize(
    ("before", "after", "always", "stays"),
    [(-2.0, -1.0, False, True), (-1.0, -1.0, False, False), (-1.0, -2.0, False, False), (-1.0, -2.0, True, True)],
)
def test_a_change_stays_if_its_block_is_likelier_or_always(
    before: float, after: float, always: bool, stays: bool
) -> None:
    assert change_stays(before, after, always=always) is stays


# Causal log-probabilities


def causal(**given: object) -> SequenceState:
    return sequence(**{"revise_rounds": 0, "return_log_probs": True, "log_probs_kind": "causal", **given})


def logs(*probs: float) -> list[Any]:
    return [pytest.approx(np.log(prob), rel=1e-5) for prob in probs]


UNSURE: dict[int, Guess] = {1: (3, 0.5), 2: (5, 0.34), 6: (3, 0.25)}
"""What causal passes think of the answer 3 3 3 …: 0.06 of the token at 2, which is another than they would take."""
OF_ANSWER = (0.99, 0.5, 0.06, 0.99, 0.99, 0.99, 0.25, 0.99)


def test_causal_log_probabilities_take_the_place_of_the_commit_passes() -> None:
    at_reveal, seq = causal(log_probs_kind="reveal"), causal()
    assert kinds(drive(at_reveal, script(causal=UNSURE))) == "dcd"
    assert kinds(drive(seq, script(causal=UNSURE))) == "dsds"
    assert seq.tokens == at_reveal.tokens == [3] * 8
    assert at_reveal.log_probs == logs(0.99, 0.95, 0.95, 0.95, 0.99, 0.95, 0.95, 0.95)
    assert seq.log_probs == logs(*OF_ANSWER)
    assert (seq.counters.score_forwards, seq.counters.commit_forwards) == (2, 0)


def test_with_revisions_they_are_those_of_the_tokens_that_stay() -> None:
    kept, back = (causal(revise_rounds=1, revise_threshold=-1.0, max_tokens=4) for _ in range(2))
    assert kinds(drive(kept, script(again={2: 5}, causal={2: (5, 0.9)}))) == "dsds"
    assert (kept.tokens, kept.log_probs) == ([3, 3, 5, 3], logs(0.99, 0.99, 0.9, 0.99))
    assert kinds(drive(back, script(again={2: 6}, causal={2: (5, 0.34)}))) == "dsds"
    assert back.tokens[2] == 3 and back.log_probs == logs(0.99, 0.99, 0.06, 0.99)


def test_a_forced_token_has_none_and_one_token_needs_no_score() -> None:
    thinking = causal(max_tokens=4, max_thinking_tokens=2)
    drive(thinking, script())
    assert (thinking.tokens[2], thinking.log_probs[2]) == (THINK, 0.0)
    single = causal(max_tokens=1)
    assert kinds(drive(single, script())) == ""
    assert single.log_probs == logs(0.99)


def test_they_are_not_made_unless_they_are_returned() -> None:
    assert kinds(drive(sequence(revise_rounds=0), script())) == "dcd"

"""Autoregressive decoding on scripted logits, and the prefill that every mode shares."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.modes import registry as modes
from trimode.decoding.sequence import SequenceState
from trimode.engines.base import Row, RowResult

VOCAB, EOS, MASK, THINK = 10, 8, 9, 7
PROMPT = [1, 2, 3]


def sequence(**given: object) -> SequenceState:
    asked = {"input_ids": PROMPT, "seed": 1, "mode": "autoregressive", **given}
    return SequenceState(GenerationParams.parse(asked, Defaults(VOCAB, 8, EOS, THINK)), PROMPT, MASK)


def drive(seq: SequenceState, script: list[int], chunk: int = 99, runner_up: int = 0) -> list[Row]:
    """Decode with logits 2 for the script's next token, 1 for `runner_up`, 0 for the rest; return the passes."""
    rows: list[Row] = []
    while not seq.done:
        row = modes.plan(seq, chunk)
        rows.append(row)
        logits = np.zeros((len(row.want), VOCAB), dtype=np.float32)
        if len(row.want):
            logits[:, runner_up] = 1
            logits[:, script[row.start + len(row.tokens) - len(PROMPT)]] = 2
        modes.apply(seq, row, RowResult(logits, MASK))
    return rows


def test_the_answer_is_the_script() -> None:
    seq = sequence(max_tokens=4)
    drive(seq, [4, 5, 6, 4])
    assert (seq.tokens, seq.finish_reason) == ([4, 5, 6, 4], "length")


def test_forwards_are_one_less_than_tokens() -> None:
    seq = sequence(max_tokens=5)
    rows = drive(seq, [4] * 5)
    assert (len(rows), seq.counters.prefill_forwards, seq.counters.forwards) == (5, 1, 4)
    assert seq.counters.decode_forwards == 4


def test_every_pass_feeds_the_token_before_and_keeps_it() -> None:
    rows = drive(sequence(max_tokens=4), [4, 5, 6, 4])
    assert [(row.tokens.tolist(), row.start) for row in rows] == [(PROMPT, 0), ([4], 3), ([5], 4), ([6], 5)]
    assert all(row.keep and row.sees == "causal" and not row.adapter for row in rows)


def test_the_end_token_ends_and_stays() -> None:
    seq = sequence(max_tokens=9)
    drive(seq, [4, EOS])
    assert (seq.tokens, seq.finish_reason) == ([4, EOS], "stop")


def test_an_end_token_at_once_needs_no_pass_after_the_prefill() -> None:
    seq = sequence()
    assert len(drive(seq, [EOS])) == 1
    assert (seq.tokens, seq.counters.forwards) == ([EOS], 0)


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        (1, [([1], 0, []), ([2], 1, []), ([3], 2, [0])]),
        (2, [([1, 2], 0, []), ([3], 2, [0])]),
        (3, [([1, 2, 3], 0, [2])]),
    ],
)
def test_the_prompt_goes_in_by_chunks_and_asks_only_for_its_last_row(
    chunk: int, expected: list[tuple[list[int], int, list[int]]]
) -> None:
    seq = sequence(max_tokens=1)
    rows = drive(seq, [4], chunk)
    assert [(row.tokens.tolist(), row.start, row.want.tolist()) for row in rows] == expected
    assert (seq.counters.prefill_forwards, seq.tokens) == (len(expected), [4])


def test_the_mask_id_is_never_chosen() -> None:
    seq = sequence(max_tokens=2)
    drive(seq, [MASK, MASK], runner_up=5)
    assert seq.tokens == [5, 5]


def test_the_mask_id_is_never_drawn() -> None:
    seq = sequence(max_tokens=9, temperature=0.01)
    drive(seq, [MASK] * 9, runner_up=5)
    assert seq.tokens == [5] * 9


@pytest.mark.parametrize("budget", [0, 1, 3])
def test_the_budget_forces_the_end_of_thinking(budget: int) -> None:
    seq = sequence(max_tokens=5, max_thinking_tokens=budget)
    drive(seq, [4] * 5)
    assert [at for at, token in enumerate(seq.tokens) if token == THINK] == [budget]


def test_the_budget_forces_nothing_after_thinking_ended() -> None:
    seq = sequence(max_tokens=5, max_thinking_tokens=3)
    drive(seq, [4, THINK, 4, 4, 4])
    assert seq.tokens == [4, THINK, 4, 4, 4]


def test_log_probs_are_the_models_own() -> None:
    seq = sequence(max_tokens=2, return_log_probs=True, temperature=0.01)
    drive(seq, [4, 5])
    expected = 2 - np.log(np.e**2 + np.e + VOCAB - 2)
    assert seq.log_probs == pytest.approx([expected, expected])


def test_penalties_count_what_was_generated() -> None:
    seq = sequence(max_tokens=3, presence_penalty=1.5)
    drive(seq, [4, 4, 4], runner_up=5)
    assert seq.tokens == [4, 5, 4]

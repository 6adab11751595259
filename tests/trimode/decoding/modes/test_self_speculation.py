"""Linear self-speculation on scripted drafts and verifications: accepted runs, widths, counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.committed import Committed
from trimode.decoding.modes import registry as modes
from trimode.decoding.sequence import Phase, SequenceState
from trimode.engines.base import Row, RowResult

VOCAB, EOS, MASK, THINK = 12, 8, 9, 7
PROMPT = [1, 2]
WRONG = 11


def sequence(*, adapter: bool = True, **given: object) -> SequenceState:
    asked = {"input_ids": PROMPT, "seed": 1, "mode": "self_speculation", "block_length": 4, "max_tokens": 9, **given}
    return SequenceState(GenerationParams.parse(asked, Defaults(VOCAB, 8, EOS, THINK)), PROMPT, MASK, adapter)


def answer(at: int) -> int:
    """What the model says at a position of the answer: 3 4 5 6 3 4 …"""
    return 3 + at % 4


def step(
    seq: SequenceState, right: Callable[[int], bool], said: Callable[[int], int] = answer
) -> tuple[Row, list[int]]:
    """Run one pass: verification says `said`, a draft too where `right`, else WRONG."""
    row = modes.plan(seq, 99)
    draft = row.sees == "block"
    logits = np.zeros((len(row.want), VOCAB), dtype=np.float32)
    for line, at in zip(logits, row.want, strict=True):
        position = row.start + int(at) - len(PROMPT) + (not draft)
        line[said(position) if not draft or right(position) else WRONG] = 5
    return row, modes.apply(seq, row, RowResult(logits, MASK)).tokens


def drive(seq: SequenceState, right: Callable[[int], bool], said: Callable[[int], int] = answer) -> list[Row]:
    rows = []
    while not seq.done:
        rows.append(step(seq, right, said)[0])
    return rows


def always(position: int) -> bool:
    return True


def never(position: int) -> bool:
    return False


@pytest.mark.parametrize("right", [always, never, lambda at: at % 3 > 0, lambda at: at % 2 > 0])
def test_the_answer_is_the_verifications_whatever_the_draft(right: Callable[[int], bool]) -> None:
    seq = sequence(max_tokens=30)
    drive(seq, right)
    assert (seq.tokens, seq.finish_reason) == ([answer(at) for at in range(30)], "length")


@pytest.mark.parametrize("good", [0, 1, 2, 3])
def test_a_cycle_commits_the_agreed_run_and_one_more(good: int) -> None:
    seq = sequence()
    step(seq, never)
    step(seq, lambda at: at <= good)
    _, committed = step(seq, never)
    assert committed == [answer(at) for at in range(1, good + 2)]
    assert (seq.counters.total_draft_tokens, seq.counters.total_accepted_draft_tokens) == (3, good)
    assert seq.counters.acceptance == (0,) * good + (1,)


def test_a_right_guess_behind_a_wrong_one_does_not_count() -> None:
    seq = sequence()
    step(seq, never)
    step(seq, lambda at: at != 2)
    assert step(seq, never)[1] == [answer(1), answer(2)]


def test_a_draft_is_one_bidirectional_pass_that_leaves_no_trace() -> None:
    seq = sequence()
    step(seq, never)
    row = modes.plan(seq, 99)
    assert (row.tokens.tolist(), row.start, row.want.tolist()) == ([3, MASK, MASK, MASK], 2, [1, 2, 3])
    assert (row.sees, row.keep) == ("block", False)


def test_a_verification_is_a_causal_pass_over_seed_and_draft() -> None:
    seq = sequence()
    step(seq, never)
    step(seq, always)
    row = modes.plan(seq, 99)
    assert (row.tokens.tolist(), row.start, row.want.tolist()) == ([3, 4, 5, 6], 2, [0, 1, 2, 3])
    assert (row.sees, row.keep) == ("causal", True)


@pytest.mark.parametrize("has_adapter", [True, False])
def test_the_adapter_runs_in_drafts_only(has_adapter: bool) -> None:
    rows = drive(sequence(adapter=has_adapter), always)
    assert {row.adapter for row in rows if row.sees == "block"} == {has_adapter}
    assert not any(row.adapter for row in rows if row.sees == "causal")


@pytest.mark.parametrize("right", [always, never])
def test_the_newest_token_is_not_yet_in_the_cache(right: Callable[[int], bool]) -> None:
    seq = sequence(max_tokens=30)
    while not seq.done:
        step(seq, right)
        if seq.phase in (Phase.DRAFT, Phase.VERIFY):
            assert seq.cached == seq.length - 1


def test_rejected_positions_are_written_again() -> None:
    rows = [row for row in drive(sequence(max_tokens=4), never) if row.sees == "causal"]
    assert [row.start for row in rows] == [0, 2, 3, 4]


def test_counters_of_full_acceptance() -> None:
    seq = sequence(max_tokens=9)
    drive(seq, always)
    counts = seq.counters
    assert (counts.prefill_forwards, counts.draft_forwards, counts.verify_forwards) == (1, 2, 2)
    assert (counts.total_draft_tokens, counts.total_accepted_draft_tokens, counts.acceptance_rate) == (6, 6, 1.0)
    assert (counts.forwards, counts.tokens_per_forward, counts.tokens_per_cycle) == (4, 9 / 4, 9 / 2)


def test_counters_of_no_acceptance() -> None:
    seq = sequence(max_tokens=3, block_length=3)
    drive(seq, never)
    counts = seq.counters
    assert (counts.draft_forwards, counts.verify_forwards) == (1, 2)
    assert (counts.total_draft_tokens, counts.total_accepted_draft_tokens) == (1, 0)


@pytest.mark.parametrize(
    ("max_tokens", "width", "drafts"), [(5, 4, 1), (6, 1, 1), (7, 2, 2), (8, 3, 2), (9, 4, 2), (1, 2, 0), (2, 1, 0)]
)
def test_the_last_cycle_asks_only_for_what_is_wanted(max_tokens: int, width: int, drafts: int) -> None:
    seq = sequence(max_tokens=max_tokens)
    rows = drive(seq, always)
    assert (len(rows[-1].tokens), seq.counters.draft_forwards) == (width, drafts)
    assert len(seq.tokens) == max_tokens


def test_a_short_last_cycle_still_drafts_a_whole_block() -> None:
    rows = drive(sequence(max_tokens=7), always)
    draft = rows[-2]
    assert (draft.tokens.tolist(), draft.want.tolist()) == ([3, MASK, MASK, MASK], [1])


def test_an_end_token_at_once_needs_no_draft() -> None:
    seq = sequence()
    drive(seq, always, lambda at: EOS)
    assert (seq.tokens, seq.finish_reason, seq.counters.forwards) == ([EOS], "stop", 0)


@pytest.mark.parametrize("right", [always, never])
@pytest.mark.parametrize("end", [1, 2, 3, 4, 5])
def test_the_end_token_ends_the_run(end: int, right: Callable[[int], bool]) -> None:
    seq = sequence()
    drive(seq, right, lambda at: EOS if at == end else answer(at))
    assert (seq.tokens, seq.finish_reason) == ([*(answer(at) for at in range(end)), EOS], "stop")
    assert seq.counters.total_accepted_draft_tokens <= len(seq.tokens) - 1


def test_a_block_of_one_never_drafts() -> None:
    seq = sequence(block_length=1, max_tokens=5)
    drive(seq, always)
    assert (seq.counters.draft_forwards, seq.counters.verify_forwards) == (0, 4)
    assert (seq.counters.total_draft_tokens, seq.counters.acceptance_rate) == (0, 0.0)


@pytest.mark.parametrize(("given", "passes"), [({}, 1), ({"denoise_steps": 2}, 2), ({"reveal": "steps"}, 3)])
def test_a_draft_takes_the_passes_asked_for(given: dict[str, Any], passes: int) -> None:
    seq = sequence(max_tokens=5, **given)
    drive(seq, always)
    assert (seq.counters.draft_forwards, seq.counters.verify_forwards) == (passes, 1)


def test_the_mask_id_is_never_emitted() -> None:
    seq = sequence()
    drive(seq, always, lambda at: MASK)
    assert seq.tokens == [0] * 9


@pytest.mark.parametrize("right", [always, never])
@pytest.mark.parametrize("budget", range(7))
def test_the_budget_emits_the_end_of_thinking_at_its_position(budget: int, right: Callable[[int], bool]) -> None:
    seq = sequence(max_thinking_tokens=budget)
    drive(seq, right)
    assert seq.tokens == [THINK if at == budget else answer(at) for at in range(9)]


def test_the_forced_end_of_thinking_is_drafted_and_so_accepted() -> None:
    seq = sequence(max_tokens=5, max_thinking_tokens=2)
    drive(seq, always)
    assert (seq.counters.verify_forwards, seq.counters.total_accepted_draft_tokens) == (1, 3)


@pytest.mark.parametrize("given", [{"return_log_probs": True}, {"presence_penalty": 0.1}, {"temperature": 0.01}])
def test_the_slow_way_of_verifying_agrees_with_the_fast_one(given: dict[str, Any]) -> None:
    fast, slow = sequence(max_tokens=20), sequence(max_tokens=20, **given)
    drive(fast, lambda at: at % 3 > 0)
    drive(slow, lambda at: at % 3 > 0)
    assert (slow.tokens, slow.counters) == (fast.tokens, fast.counters)


def test_a_draft_counts_its_seed_once_in_the_frequency_penalty() -> None:
    seq = sequence(max_tokens=3, block_length=2, frequency_penalty=1.0)
    logits = np.zeros((1, VOCAB), dtype=np.float32)
    logits[0, 3], logits[0, 4] = 2.75, 1.25  # 3 once penalised leads with 1.75, twice penalised falls to 0.75
    for _ in range(2):
        modes.apply(seq, modes.plan(seq, 99), RowResult(logits, MASK))
    assert seq.tokens == [3]
    assert modes.plan(seq, 99).tokens.tolist() == [3, 3]


@pytest.mark.parametrize(("reference", "drafted"), [(True, MASK), (False, WRONG)])
def test_a_draft_at_threshold_0_is_one_pass_even_if_the_mask_id_is_the_likeliest(reference: bool, drafted: int) -> None:
    """The released loop does not look again; served drafts never hold the mask id. What verification says counts."""
    asked = {"input_ids": PROMPT, "mode": "self_speculation", "block_length": 4, "max_tokens": 9, "end_id": -1}
    seq = SequenceState(GenerationParams.parse(asked, Defaults(VOCAB, 8, EOS), reference=reference), PROMPT, MASK)
    step(seq, always)
    for _ in range(3):
        row = modes.plan(seq, 99)
        assert row.sees == "block"
        logits = np.zeros((len(row.want), VOCAB), dtype=np.float32)
        logits[:, MASK], logits[:, WRONG] = 5, 4
        modes.apply(seq, row, RowResult(logits, MASK))
        assert seq.phase is Phase.VERIFY
        assert set(modes.plan(seq, 99).tokens[1:].tolist()) == {drafted}
        step(seq, always)
    assert (seq.counters.draft_forwards, seq.counters.verify_forwards) == (3, 3)
    assert seq.tokens == [answer(at) for at in range(4)]


@pytest.mark.parametrize(
    ("good", "limit", "outcome"),
    [
        (0, 9, Committed([answer(1)], drafted=3, verified=0)),
        (2, 9, Committed([answer(1), answer(2), answer(3)], drafted=3, verified=2)),
        (3, 9, Committed([answer(at) for at in range(1, 5)], drafted=3, verified=3)),
        (3, 3, Committed([answer(1), answer(2)], drafted=1, verified=1)),
    ],
)
def test_a_verification_says_what_was_drafted_and_what_it_confirmed(good: int, limit: int, outcome: Committed) -> None:
    seq = sequence(max_tokens=limit)
    step(seq, never)
    step(seq, lambda at: at <= good)
    row = modes.plan(seq, 99)
    logits = np.zeros((len(row.want), VOCAB), dtype=np.float32)
    for line, at in zip(logits, row.want, strict=True):
        line[answer(row.start + int(at) - len(PROMPT) + 1)] = 5
    assert modes.apply(seq, row, RowResult(logits, MASK)) == outcome

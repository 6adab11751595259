"""Passes that verify free drafts, on a model that says a given text: what is committed, cached and counted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.committed import Committed
from trimode.decoding.free_drafts.drafts import FreeDrafts
from trimode.decoding.modes import free_drafts
from trimode.decoding.modes import registry as modes
from trimode.decoding.sequence import SequenceState
from trimode.engines.base import Row, RowResult

from tests.support.grammars import END, SIZE, ids, matcher, shown

VOCAB, EOS, MASK, THINK = 60, 8, 9, 7
PROMPT = [1, 2]
SAID = [10 + at % 40 for at in range(300)]
"""What the model says, whatever came before."""
MODES = ("autoregressive", "self_speculation")


def sequence(
    prediction: Sequence[int] = (),
    *,
    prompt_lookup: bool = False,
    prompt: Sequence[int] = PROMPT,
    vocab_size: int = VOCAB,
    **given: object,
) -> SequenceState:
    asked = {"input_ids": [*prompt], "seed": 1, "mode": "autoregressive", "max_tokens": 60, **given}
    params = GenerationParams.parse(asked, Defaults(vocab_size, 32, EOS, THINK))
    free = FreeDrafts(
        prompt, max_tokens=params.max_tokens, longest=32, prediction=prediction, prompt_lookup=prompt_lookup
    )
    return SequenceState(params, [*prompt], MASK, free_drafts=free)


def run(seq: SequenceState, said: Sequence[int] = SAID) -> tuple[Row, Committed]:
    """Run one pass: causal rows say `said`, the first row of a block too, later ones 59."""
    row = modes.plan(seq, 99)
    logits = np.zeros((len(row.want), SIZE), dtype=np.float32)
    for line, at in zip(logits, row.want, strict=True):
        causal = row.sees == "causal"
        place = row.start + int(at) - len(seq.prompt) + causal
        line[said[place] if causal or at == 1 else 59] = 5
    return row, modes.apply(seq, row, RowResult(logits, MASK))


def drive(seq: SequenceState, said: Sequence[int] = SAID) -> list[Row]:
    rows = []
    while not seq.done:
        rows.append(run(seq, said)[0])
        if not seq.done:
            assert seq.cached <= seq.length - 1
    return rows


def test_a_right_prediction_takes_a_pass_for_a_whole_draft() -> None:
    seq = sequence(SAID)
    rows = drive(seq)
    assert [len(row.tokens) for row in rows] == [2, 16, 32, 11]
    assert (seq.tokens, seq.finish_reason) == (SAID[:60], "length")
    assert {row.sees for row in rows} == {"causal"} and all(row.keep for row in rows)


@pytest.mark.parametrize("mode", MODES)
def test_a_draft_follows_the_tokens_that_are_not_cached(mode: str) -> None:
    seq = sequence(SAID, mode=mode)
    run(seq)
    row, outcome = run(seq)
    assert (row.start, row.tokens.tolist(), row.want.tolist()) == (2, SAID[:16], [*range(16)])
    assert (outcome.tokens, outcome.drafted, outcome.verified, outcome.free) == (SAID[1:17], 15, 15, "prediction")
    assert seq.cached == seq.length - 1


def test_without_a_draft_a_pass_is_the_modes_own() -> None:
    seq = sequence([50])
    run(seq)
    assert not free_drafts.planned(seq)
    run(seq)
    seq.free_drafts = None
    assert free_drafts.plan(seq) is None and not free_drafts.planned(seq)


def test_a_wrong_draft_gives_the_one_token_of_its_pass() -> None:
    seq = sequence([SAID[0], 50, 51, 52])
    run(seq)
    row, outcome = run(seq)
    assert len(row.tokens) == 4 and outcome.tokens == SAID[1:2]
    assert seq.cached == seq.length - 1


def test_autoregressive_goes_on_token_by_token_where_there_is_no_draft() -> None:
    rows = drive(sequence([50, 51], max_tokens=9))
    assert {len(row.tokens) for row in rows[2:]} == {1}


def test_self_speculation_drafts_itself_where_there_is_no_free_draft() -> None:
    seq = sequence(SAID[:5], mode="self_speculation", block_length=4)
    run(seq)
    assert run(seq)[1].free
    row, outcome = run(seq)
    assert (row.sees, outcome.denoised) == ("block", True)
    row, outcome = run(seq)
    assert (row.sees, outcome.free, len(outcome.tokens)) == ("causal", None, 2)


def test_a_draft_that_a_pass_made_is_verified_before_the_next_free_one() -> None:
    seq = sequence(prompt_lookup=True, mode="self_speculation", block_length=4, prompt=[30, 31, 32, 33, 34])
    said = [30, 31, 35, 36, 30, 31, 32, 33, 34, 41, 42, 43, 44, 45]
    kinds = []
    while not seq.done and len(seq.tokens) < 12:
        row, outcome = run(seq, said + SAID)
        kinds.append("free" if outcome.free else "draft" if row.sees == "block" else "verify")
    assert "free" in kinds and "draft" in kinds
    assert all(after == "verify" for before, after in pairwise(kinds) if before == "draft")


def test_the_prompt_is_looked_up() -> None:
    seq = sequence(prompt_lookup=True, prompt=[*SAID[:30], 3], max_tokens=30)
    assert len(drive(seq)) < 8
    assert seq.tokens == SAID[:30]
    counts = seq.counters
    assert counts.accepted_prompt_lookup_tokens == counts.total_accepted_draft_tokens > 20
    assert counts.rejected_prompt_lookup_tokens == counts.total_draft_tokens - counts.total_accepted_draft_tokens
    assert (counts.accepted_prediction_tokens, counts.rejected_prediction_tokens) == (0, 0)


def test_a_verification_is_counted_by_where_its_draft_came_from() -> None:
    seq = sequence(SAID[:20], mode="self_speculation", block_length=4, max_tokens=40)
    drive(seq)
    counts = seq.counters
    assert counts.accepted_prediction_tokens + counts.rejected_prediction_tokens < counts.total_draft_tokens
    assert counts.accepted_prediction_tokens == 18
    assert sum(counts.acceptance) == counts.verify_forwards
    assert counts.output_tokens == 40


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("most", [1, 2, 3, 16, 17, 18, 33])
def test_max_tokens_ends_a_draft(mode: str, most: int) -> None:
    seq = sequence(SAID, mode=mode, max_tokens=most)
    rows = drive(seq)
    assert (seq.tokens, seq.finish_reason) == (SAID[:most], "length")
    assert max(row.start + len(row.tokens) for row in rows) <= len(PROMPT) + max(most - 1, 0) + (most == 1) * 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("at", [0, 1, 5, 15, 16, 17])
def test_an_end_token_in_a_draft_ends_the_answer(mode: str, at: int) -> None:
    said = [*SAID[:at], EOS, *SAID[at + 1 :]]
    seq = sequence(said, mode=mode)
    drive(seq, said)
    assert (seq.tokens, seq.finish_reason) == (said[: at + 1], "stop")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("budget", [0, 1, 4, 20])
def test_the_end_of_thinking_stands_where_the_budget_puts_it(mode: str, budget: int) -> None:
    seq = sequence(SAID, mode=mode, max_thinking_tokens=budget, max_tokens=30)
    drive(seq)
    assert seq.tokens == [*SAID[:budget], THINK, *SAID[budget + 1 : 30]]


def guided(expression: str, predicted: Sequence[int], mode: str) -> SequenceState:
    seq = sequence(predicted, mode=mode, end_id=END, vocab_size=SIZE)
    seq.guide = matcher("regex", expression)
    return seq


@pytest.mark.parametrize("mode", MODES)
def test_a_draft_goes_as_far_as_the_grammar_lets_it(mode: str) -> None:
    text = "abcdefghijabnope"
    said = ids(text)
    seq = guided("[a-z]{16}", [*said[:3], *ids("7"), *said[4:]], mode)
    rows = drive(seq, [*said, *[END] * 40])
    assert shown(seq.tokens[: len(said)]) == text and seq.finish_reason == "stop"
    assert rows[1].tokens.tolist() == said[:3]


@pytest.mark.parametrize("mode", MODES)
def test_what_a_grammar_dictates_needs_no_draft(mode: str) -> None:
    text = "abb" + "ccc" * 9 + "a"
    seq = guided("[ab]{3}(ccc){9}[ab]", ids(text[:5]), mode)
    rows = drive(seq, [*ids(text), *[END] * 40])
    assert shown(seq.tokens).startswith(text)
    assert len(rows) < len(ids(text))


EDITS = st.lists(st.tuples(st.sampled_from(["put", "take", "change"]), st.integers(0, 99)), max_size=6)


@given(EDITS, st.integers(1, 120), st.integers(1, 130), st.booleans(), st.sampled_from(MODES))
def test_the_answer_is_the_models_whatever_is_predicted(
    edits: list[tuple[str, int]], most: int, end: int, lookup: bool, mode: str
) -> None:
    """For any prediction, the answer's end anywhere in it."""
    said = [*SAID[:end], EOS, *SAID[end + 1 :]]
    expected = said[: min(most, end + 1)]
    prediction = edited(said[:150], edits)
    seq = sequence(prediction, prompt_lookup=lookup, mode=mode, max_tokens=most)
    rows = drive(seq, said)
    assert seq.tokens == expected
    assert seq.finish_reason == ("stop" if end < most else "length")
    assert len(rows) <= 2 * len(expected) + 1 and seq.counters.forwards == len(rows) - 1


def edited(text: Sequence[int], edits: Sequence[tuple[str, int]]) -> list[int]:
    """Return a text with tokens put in, taken out and changed."""
    found = [*text]
    for kind, at in edits:
        if kind == "put":
            found.insert(at, 55)
        elif kind == "take":
            del found[at : at + 2]
        else:
            found[at : at + 1] = [56]
    return found


def test_a_text_with_five_changes_takes_a_small_share_of_the_passes() -> None:
    said = list(np.random.default_rng(5).integers(10, 58, 400))
    said = [int(token) for token in said]
    seq = sequence(
        edited(said, [("change", 40), ("put", 100), ("take", 170), ("change", 260), ("put", 350)]), max_tokens=400
    )
    rows = drive(seq, said)
    assert seq.tokens == said
    assert len(rows) <= 400 / 10

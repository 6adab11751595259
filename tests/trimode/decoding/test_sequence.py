"""SequenceState: what its transitions commit, finish, force and open."""

from __future__ import annotations

import pytest
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.sequence import Phase, SequenceState

EOS, MASK, THINK = 8, 9, 7
ZEROS = [0.0] * 9


def sequence(**given: object) -> SequenceState:
    asked = {"input_ids": [1, 2], "seed": 1, "max_tokens": 4, "block_length": 4, **given}
    return SequenceState(GenerationParams.parse(asked, Defaults(10, 8, EOS, THINK)), [1, 2], MASK)


def test_a_new_sequence_waits_for_its_prefill() -> None:
    seq = sequence()
    assert (seq.phase, seq.length, seq.remaining, seq.cached, seq.done) == (Phase.PREFILL, 2, 4, 0, False)


def test_commit_appends() -> None:
    seq = sequence()
    assert seq.commit([3, 4], ZEROS) == [3, 4]
    assert (seq.tokens, seq.length, seq.remaining, seq.done) == ([3, 4], 4, 2, False)
    assert seq.counters.output_tokens == 2


@pytest.mark.parametrize(
    ("run", "taken", "reason"),
    [
        ([3, 4, 5, 6], [3, 4, 5, 6], "length"),
        ([3, 4, 5, 6, 3], [3, 4, 5, 6], "length"),
        ([3, EOS], [3, EOS], "stop"),
        ([3, EOS, 4, EOS], [3, EOS], "stop"),
        ([3, 4, 5, EOS], [3, 4, 5, EOS], "stop"),
        ([3, 4, 5, 6, EOS], [3, 4, 5, 6], "length"),
        ([3, 4, 5], [3, 4, 5], None),
    ],
)
def test_commit_ends_at_the_end_token_or_the_limit(run: list[int], taken: list[int], reason: str | None) -> None:
    seq = sequence()
    assert (seq.commit(run, ZEROS), seq.finish_reason, seq.done) == (taken, reason, reason is not None)


def test_without_an_end_token_nothing_but_the_limit_ends() -> None:
    seq = sequence(end_id=-1)
    seq.commit([EOS, 3], ZEROS)
    assert not seq.done


def test_log_probs_are_kept_for_the_tokens_taken() -> None:
    seq = sequence(return_log_probs=True)
    seq.commit([3, EOS, 4], [-1.0, -2.0, -3.0])
    assert seq.log_probs == [-1.0, -2.0]


def test_log_probs_are_kept_only_when_asked_for() -> None:
    seq = sequence()
    seq.commit([3], [-1.0])
    assert seq.log_probs == []


def test_cut_forgets_the_rest() -> None:
    seq = sequence(return_log_probs=True)
    seq.commit([3, 4, 5], [-1.0, -2.0, -3.0])
    seq.truncate(1)
    assert (seq.tokens, seq.log_probs, seq.counters.output_tokens) == ([3], [-1.0], 1)


def test_no_more_can_be_cached_than_there_is() -> None:
    seq = sequence()
    seq.mark_cached(2)
    with pytest.raises(AssertionError):
        seq.mark_cached(1)


@pytest.mark.parametrize(
    ("tokens", "ahead", "index", "forced"),
    [
        ([3, 3], (), 2, THINK),
        ([3, 3], (), 1, None),
        ([3, 3], (), 3, None),
        ([THINK, 3], (), 2, None),
        ([3], (THINK,), 2, None),
        ([3], (4,), 2, THINK),
    ],
)
def test_the_budget_forces_the_end_of_thinking_unless_it_came(
    tokens: list[int], ahead: tuple[int, ...], index: int, forced: int | None
) -> None:
    seq = sequence(max_thinking_tokens=2)
    seq.commit(tokens, ZEROS)
    assert seq.forced_at(index, ahead) == forced


def test_without_a_budget_nothing_is_forced() -> None:
    assert sequence().forced_at(0) is None


def test_a_block_opens_with_its_seed_and_masks() -> None:
    seq = sequence()
    seq.open_block(3, {}, 4)
    assert (seq.current.tokens.tolist(), seq.current.open.tolist()) == (
        [3, MASK, MASK, MASK],
        [False, True, True, True],
    )
    assert (seq.current.unrevealed, seq.current.step) == (3, 0)


def test_forced_positions_of_a_block_are_not_open() -> None:
    seq = sequence()
    seq.open_block(3, {2: THINK}, 4)
    assert (seq.current.tokens.tolist(), seq.current.open.tolist()) == ([3, MASK, 7, MASK], [False, True, False, True])
    assert seq.current.unrevealed == 2


def test_positions_past_the_limit_are_never_open() -> None:
    seq = sequence()
    seq.open_block(3, {}, 2)
    assert (seq.current.tokens.tolist(), seq.current.open.tolist()) == ([3, 9, 9, 9], [False, True, False, False])


def test_a_sequence_without_a_block_has_no_current_one() -> None:
    with pytest.raises(AssertionError):
        _ = sequence().current

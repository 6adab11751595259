"""Kin: which earlier requests a prompt is compared with, and what is made of them."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.auto.acceptance import Acceptance
from trimode.auto.similar_requests import KEPT, NEAREST, READ, STRANGE, WORTH, Kin, marks_of

TEMPLATE = [900, 901, 902, 903]
SUMS = [*range(10, 20)]
LETTERS = [*range(30, 40)]


def seen(committed: int, width: int = 8, times: int = 1) -> Acceptance:
    acceptance = Acceptance()
    for _ in range(times):
        acceptance.note(committed, width, 0)
    return acceptance


def expected(kin: Kin, prompt: list[int]) -> float:
    return float(Acceptance().runs(kin.prior(marks_of(prompt)), 0)[8])


@pytest.fixture
def taught() -> Kin:
    """Sums whose drafts fail, letters whose drafts succeed, each with a number of its own."""
    kin = Kin()
    for number in range(3):
        kin.learn(marks_of([*TEMPLATE, *SUMS, 500 + number]), seen(1, times=3))
        kin.learn(marks_of([*TEMPLATE, *LETTERS, 500 + number]), seen(8, times=3))
    return kin


def test_an_empty_table_expects_nothing_of_anyone() -> None:
    prior = Kin().prior(marks_of([1, 2, 3]))
    assert (prior.verifications, prior.blocks, prior.kinship) == (0, 0, 0)


def test_a_request_begins_with_what_those_with_its_words_have_shown(taught: Kin) -> None:
    assert expected(taught, [*TEMPLATE, *SUMS, 777]) < 2
    assert expected(taught, [*TEMPLATE, *LETTERS, 777]) > 6


def test_the_order_of_words_and_what_stands_before_them_do_not_matter(taught: Kin) -> None:
    assert expected(taught, [*TEMPLATE, 600, 601, *SUMS[::-1]]) < 2
    assert expected(taught, [*LETTERS[5:], *LETTERS[:5], *TEMPLATE]) > 6


def test_what_all_prompts_share_makes_nobody_alike(taught: Kin) -> None:
    strange = taught.prior(marks_of([*TEMPLATE, *range(700, 710)]))
    assert strange.kinship < 0.3
    assert strange.verifications < 1
    assert 2 < expected(taught, [*TEMPLATE, *range(700, 710)]) < 7


def test_the_same_prompt_again_is_its_own_kin(taught: Kin) -> None:
    assert taught.prior(marks_of([*TEMPLATE, *SUMS, 500])).kinship == pytest.approx(1.0, abs=1e-3)


def test_only_the_end_of_a_long_prompt_is_compared(taught: Kin) -> None:
    assert expected(taught, [*LETTERS, *[600] * READ, *SUMS]) < 2


def test_how_much_kin_count_is_bounded(taught: Kin) -> None:
    for number in range(100):
        taught.learn(marks_of([*SUMS, number]), seen(1, times=3))
    assert taught.prior(marks_of([*SUMS, 101])).verifications <= 3 * (WORTH + 1)


def test_the_oldest_request_is_forgotten() -> None:
    kin = Kin()
    kin.learn(marks_of(SUMS), seen(1))
    for number in range(KEPT - 1):
        kin.learn(marks_of([300 + number]), seen(8))
    assert kin.prior(marks_of(SUMS)).kinship > 0.9
    kin.learn(marks_of([299]), seen(8))
    assert kin.prior(marks_of(SUMS)).kinship == 0


def test_a_request_that_has_shown_nothing_is_not_kept(taught: Kin) -> None:
    taught.learn(marks_of([1, 2, 3]), Acceptance())
    assert taught.prior(marks_of([1, 2, 3])).kinship == 0


def test_blocks_are_known_too() -> None:
    kin, own = Kin(), Acceptance()
    own.note_blocks(2, 8, 50)
    kin.learn(marks_of(SUMS), own)
    prior = kin.prior(marks_of(SUMS))
    assert prior.passes / prior.blocks == pytest.approx(4)
    assert prior.tokens / prior.blocks == pytest.approx(25)


def test_a_long_shared_beginning_makes_nobody_alike() -> None:
    kin, shared = Kin(), [*range(1000, 1150)]
    for number in range(10):
        kin.learn(marks_of([*shared, *SUMS, 500 + number]), seen(1, times=3))
        kin.learn(marks_of([*shared, *LETTERS, 500 + number]), seen(8, times=3))
    assert kin.prior(marks_of([*shared, *range(700, 710)])).kinship < 0.3
    assert expected(kin, [*shared, *SUMS]) < 2
    assert expected(kin, [*shared, *LETTERS]) > 6


def test_equal_prompts_are_alike_however_many_there_are() -> None:
    kin = Kin()
    for _ in range(KEPT + 50):
        kin.learn(marks_of(SUMS), seen(1))
    assert kin.prior(marks_of(SUMS)).kinship > 0.9


def test_of_equal_prompts_the_latest_count() -> None:
    kin = Kin()
    for _ in range(KEPT):
        kin.learn(marks_of(SUMS), seen(1, times=3))
    for _ in range(NEAREST):
        kin.learn(marks_of(SUMS), seen(8, times=3))
    assert expected(kin, SUMS) > 6


def test_what_is_known_stays_right_when_other_requests_come() -> None:
    kin = Kin()
    for number in range(KEPT):
        kin.learn(marks_of([*SUMS, 500 + number]), seen(1))
    for number in range(100):
        kin.learn(marks_of([*LETTERS, 500 + number]), seen(8))
    assert kin.prior(marks_of([*SUMS, 500 + 150])).kinship > 0.9


def test_long_prompts_of_other_words_are_strangers() -> None:
    rng = np.random.default_rng(0)
    kin = Kin()
    for _ in range(100):
        kin.learn(marks_of(rng.integers(0, 131072, READ).tolist()), seen(1))
    assert max(kin.prior(marks_of(rng.integers(0, 131072, READ).tolist())).kinship for _ in range(20)) < STRANGE


def test_evidence_is_what_those_alike_have_shown_and_nothing_else(taught: Kin) -> None:
    assert taught.prior(marks_of([*TEMPLATE, *SUMS, 777])).evidence == pytest.approx(5.2, abs=0.1)  # of nine
    assert taught.prior(marks_of([*range(700, 710)])).evidence == 0


def test_drafts_and_blocks_of_one_prompt_do_not_push_each_other_out() -> None:
    kin = Kin()
    for _ in range(3):
        kin.learn(marks_of(SUMS), seen(1, times=3))
    for _ in range(30):
        own = Acceptance()
        own.note_blocks(1, 4, 20)
        kin.learn(marks_of(SUMS), own)
    assert expected(kin, SUMS) < 2
    assert kin.prior(marks_of(SUMS)).passes / kin.prior(marks_of(SUMS)).blocks == pytest.approx(4)


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_prompts_of_any_size_can_be_learnt(size: int) -> None:
    kin, prompt = Kin(), [131071] * size
    kin.learn(marks_of(prompt), seen(3))
    assert kin.prior(marks_of(prompt)).verifications > 0


def test_strangers_know_of_blocks_what_everyone_knows() -> None:
    kin, own = Kin(), Acceptance()
    own.note_blocks(1, 2, 16)
    kin.learn(marks_of(SUMS), own)
    for number in range(40):
        kin.learn(marks_of([*LETTERS, number]), seen(8))
    prior = kin.prior(marks_of([700, 701]))
    assert prior.passes / prior.tokens == pytest.approx(1 / 8)
    assert prior.passes / prior.blocks == pytest.approx(2)


def test_a_mark_is_there_once_and_those_of_the_end_alone() -> None:
    marks = marks_of([9999, *[5, 6, 5, 6] * (READ // 4)])
    assert sorted(marks.tolist()) == [5, 6]

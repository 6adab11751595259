"""Kin: which earlier requests a prompt is compared with, and what is made of them."""

from __future__ import annotations

import pytest
from trimode.acceptance import Acceptance
from trimode.kin import KEPT, READ, WORTH, Kin

TEMPLATE = [900, 901, 902, 903]
SUMS = [*range(10, 20)]
LETTERS = [*range(30, 40)]


def seen(committed: int, width: int = 8, times: int = 1) -> Acceptance:
    acceptance = Acceptance()
    for _ in range(times):
        acceptance.note(committed, width, 0)
    return acceptance


def expected(kin: Kin, prompt: list[int]) -> float:
    return float(Acceptance().runs(kin.prior(prompt), 0)[8])


@pytest.fixture
def taught() -> Kin:
    """Sums whose drafts fail, letters whose drafts succeed, each with a number of its own."""
    kin = Kin()
    for number in range(3):
        kin.learn([*TEMPLATE, *SUMS, 500 + number], seen(1, times=3))
        kin.learn([*TEMPLATE, *LETTERS, 500 + number], seen(8, times=3))
    return kin


def test_an_empty_table_expects_nothing_of_anyone() -> None:
    prior = Kin().prior([1, 2, 3])
    assert (prior.verifications, prior.blocks, prior.kinship) == (0, 0, 0)


def test_a_request_begins_with_what_those_with_its_words_have_shown(taught: Kin) -> None:
    assert expected(taught, [*TEMPLATE, *SUMS, 777]) < 2
    assert expected(taught, [*TEMPLATE, *LETTERS, 777]) > 6


def test_the_order_of_words_and_what_stands_before_them_do_not_matter(taught: Kin) -> None:
    assert expected(taught, [*TEMPLATE, 600, 601, *SUMS[::-1]]) < 2
    assert expected(taught, [*LETTERS[5:], *LETTERS[:5], *TEMPLATE]) > 6


def test_what_all_prompts_share_makes_nobody_alike(taught: Kin) -> None:
    strange = taught.prior([*TEMPLATE, *range(700, 710)])
    assert strange.kinship < 0.3
    assert strange.verifications < 1
    assert 2 < expected(taught, [*TEMPLATE, *range(700, 710)]) < 7


def test_the_same_prompt_again_is_its_own_kin(taught: Kin) -> None:
    assert taught.prior([*TEMPLATE, *SUMS, 500]).kinship == pytest.approx(1.0, abs=1e-3)


def test_only_the_end_of_a_long_prompt_is_compared(taught: Kin) -> None:
    assert expected(taught, [*LETTERS, *[600] * READ, *SUMS]) < 2


def test_how_much_kin_count_is_bounded(taught: Kin) -> None:
    for number in range(100):
        taught.learn([*SUMS, number], seen(1, times=3))
    assert taught.prior([*SUMS, 101]).verifications <= 3 * (WORTH + 1)


def test_the_oldest_request_is_forgotten() -> None:
    kin = Kin()
    kin.learn(SUMS, seen(1))
    for number in range(KEPT - 1):
        kin.learn([300 + number], seen(8))
    assert kin.prior(SUMS).kinship > 0.9
    kin.learn([299], seen(8))
    assert kin.prior(SUMS).kinship == 0


def test_a_request_that_has_shown_nothing_is_not_kept(taught: Kin) -> None:
    taught.learn([1, 2, 3], Acceptance())
    assert taught.prior([1, 2, 3]).kinship == 0


def test_blocks_are_known_too() -> None:
    kin, own = Kin(), Acceptance()
    own.note_blocks(2, 8, 50)
    kin.learn(SUMS, own)
    prior = kin.prior(SUMS)
    assert prior.passes / prior.blocks == pytest.approx(4)
    assert prior.tokens / prior.blocks == pytest.approx(25)

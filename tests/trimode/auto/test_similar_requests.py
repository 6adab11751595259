"""SimilarRequests: which earlier requests a prompt is compared with, and what is made of them."""

from __future__ import annotations

import numpy as np
import pytest
from trimode.auto.acceptance import DraftStats
from trimode.auto.similar_requests import SimilarRequests, token_buckets
from trimode.auto.tuning import TUNING

KEPT, READ = TUNING.requests_kept, TUNING.prompt_tokens
TEMPLATE = [900, 901, 902, 903]
SUMS = [*range(10, 20)]
LETTERS = [*range(30, 40)]


def seen(committed: int, width: int = 8, times: int = 1) -> DraftStats:
    stats = DraftStats()
    for _ in range(times):
        stats.add_verification(committed, width)
    return stats


def expected(similar: SimilarRequests, prompt: list[int]) -> float:
    return float(DraftStats().expected_runs(similar.prior(token_buckets(prompt)))[8])


@pytest.fixture
def taught() -> SimilarRequests:
    """Sums whose drafts fail, letters whose drafts succeed, each with a number of its own."""
    similar = SimilarRequests()
    for number in range(3):
        similar.add(token_buckets([*TEMPLATE, *SUMS, 500 + number]), seen(1, times=3))
        similar.add(token_buckets([*TEMPLATE, *LETTERS, 500 + number]), seen(8, times=3))
    return similar


def test_an_empty_table_expects_nothing_of_anyone() -> None:
    prior = SimilarRequests().prior(token_buckets([1, 2, 3]))
    assert (prior.counts.sum(), prior.blocks.blocks, prior.weight) == (0, 0, 1)


def test_a_request_begins_with_what_those_with_its_words_have_shown(taught: SimilarRequests) -> None:
    assert expected(taught, [*TEMPLATE, *SUMS, 777]) < 2
    assert expected(taught, [*TEMPLATE, *LETTERS, 777]) > 6


def test_the_order_of_words_and_what_stands_before_them_do_not_matter(taught: SimilarRequests) -> None:
    assert expected(taught, [*TEMPLATE, 600, 601, *SUMS[::-1]]) < 3
    assert expected(taught, [*LETTERS[5:], *LETTERS[:5], *TEMPLATE]) > 6


def test_what_all_prompts_share_makes_nobody_alike(taught: SimilarRequests) -> None:
    assert 2 < expected(taught, [*TEMPLATE, *range(700, 710)]) < 7


def test_only_the_end_of_a_long_prompt_is_compared(taught: SimilarRequests) -> None:
    assert expected(taught, [*LETTERS, *[600] * READ, *SUMS]) < 2


def test_how_much_similar_requests_count_is_bounded(taught: SimilarRequests) -> None:
    for number in range(100):
        taught.add(token_buckets([*SUMS, number]), seen(1, times=3))
    trials = taught.prior(token_buckets([*SUMS, 101])).counts[0]
    assert 2 < trials[1] <= 3 * (TUNING.nearest_requests + 1)


def test_the_oldest_request_is_forgotten() -> None:
    similar = SimilarRequests()
    similar.add(token_buckets(SUMS), seen(1, times=3))
    for number in range(KEPT - 1):
        similar.add(token_buckets([300 + number]), seen(8))
    assert expected(similar, SUMS) < 4
    similar.add(token_buckets([299]), seen(8))
    assert expected(similar, SUMS) > 6


def test_a_request_that_has_shown_nothing_is_not_kept(taught: SimilarRequests) -> None:
    before = expected(taught, [1, 2, 3])
    taught.add(token_buckets([1, 2, 3]), DraftStats())
    assert expected(taught, [1, 2, 3]) == before


def test_blocks_are_known_too() -> None:
    similar, own = SimilarRequests(), DraftStats()
    own.add_blocks(2, 8, 50)
    similar.add(token_buckets(SUMS), own)
    prior = similar.prior(token_buckets(SUMS))
    assert prior.blocks.passes / prior.blocks.blocks == pytest.approx(4)
    assert prior.blocks.tokens / prior.blocks.blocks == pytest.approx(25)


def test_a_long_shared_beginning_makes_nobody_alike() -> None:
    similar, shared = SimilarRequests(), [*range(1000, 1150)]
    for number in range(10):
        similar.add(token_buckets([*shared, *SUMS, 500 + number]), seen(1, times=3))
        similar.add(token_buckets([*shared, *LETTERS, 500 + number]), seen(8, times=3))
    assert 2 < expected(similar, [*shared, *range(700, 710)]) < 7
    assert expected(similar, [*shared, *SUMS]) < 2
    assert expected(similar, [*shared, *LETTERS]) > 6


def test_equal_prompts_are_alike_however_many_there_are() -> None:
    similar = SimilarRequests()
    for _ in range(KEPT + 50):
        similar.add(token_buckets(SUMS), seen(1))
    trials = similar.prior(token_buckets(SUMS)).counts[0]
    assert trials[1] == pytest.approx(TUNING.nearest_requests, rel=0.05)


def test_of_equal_prompts_the_latest_count() -> None:
    similar = SimilarRequests()
    for _ in range(KEPT):
        similar.add(token_buckets(SUMS), seen(1, times=3))
    for _ in range(TUNING.nearest_requests):
        similar.add(token_buckets(SUMS), seen(8, times=3))
    assert expected(similar, SUMS) > 6


def test_what_is_known_stays_right_when_other_requests_come() -> None:
    similar = SimilarRequests()
    for number in range(KEPT):
        similar.add(token_buckets([*SUMS, 500 + number]), seen(1))
    for number in range(100):
        similar.add(token_buckets([*LETTERS, 500 + number]), seen(8))
    assert expected(similar, [*SUMS, 500 + 150]) < 2


def test_long_prompts_of_other_words_are_strangers() -> None:
    rng = np.random.default_rng(0)
    similar = SimilarRequests()
    for _ in range(100):
        similar.add(token_buckets(rng.integers(0, 131072, READ).tolist()), seen(1))
    prior = similar.prior(token_buckets(rng.integers(0, 131072, READ).tolist()))
    assert prior.counts[0, 1] < 1.2  # everyone's average, and nearly nothing of each


def test_drafts_and_blocks_of_one_prompt_do_not_push_each_other_out() -> None:
    similar = SimilarRequests()
    for _ in range(3):
        similar.add(token_buckets(SUMS), seen(1, times=3))
    for _ in range(30):
        own = DraftStats()
        own.add_blocks(1, 4, 20)
        similar.add(token_buckets(SUMS), own)
    assert expected(similar, SUMS) < 2
    assert (blocks := similar.prior(token_buckets(SUMS)).blocks).passes / blocks.blocks == pytest.approx(4)


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_prompts_of_any_size_can_be_learnt(size: int) -> None:
    similar, prompt = SimilarRequests(), [131071] * size
    similar.add(token_buckets(prompt), seen(3))
    assert similar.prior(token_buckets(prompt)).counts[0, 1] > 0


def test_strangers_know_of_blocks_what_everyone_knows() -> None:
    similar, own = SimilarRequests(), DraftStats()
    own.add_blocks(1, 2, 16)
    similar.add(token_buckets(SUMS), own)
    for number in range(40):
        similar.add(token_buckets([*LETTERS, number]), seen(8))
    prior = similar.prior(token_buckets([700, 701]))
    assert prior.blocks.passes / prior.blocks.tokens == pytest.approx(1 / 8)
    assert prior.blocks.passes / prior.blocks.blocks == pytest.approx(2)


def test_a_mark_is_there_once_and_those_of_the_end_alone() -> None:
    marks = token_buckets([9999, *[5, 6, 5, 6] * (READ // 4)])
    assert sorted(marks.tolist()) == [5, 6]

"""The search over the sizes of a gap: which are tried, and which of the tried is best."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

from trimode.api.fields import Mode
from trimode.requests.gap_search import MAX_ROUNDS, SIZES_PER_ROUND, Filling, GapSearch

# Sizes


def tried(size: int, score: float | None, mode: Mode = Mode.DIFFUSION, worth: int = 1) -> Filling:
    return Filling(mode, [3] * size, [], "a" * size, score, worth)


def gap(scores: dict[int, float | None], sizes: Sequence[int], *, open: bool = True) -> GapSearch:
    done = [tried(size, score) for size, score in scores.items()]
    return GapSearch(SimpleNamespace(), tuple(sizes), open, done)  # type: ignore[arg-type]


def test_the_likeliest_size_is_best_and_of_equals_the_smallest() -> None:
    assert gap({1: -3.0, 2: -1.0, 4: -2.0}, ()).best.size == 2
    assert gap({4: -1.0, 2: -1.0, 8: -1.0}, ()).best.size == 2


def test_a_size_that_could_not_be_scored_is_the_last_choice() -> None:
    assert gap({1: None, 2: -99.0}, ()).best.size == 2
    assert gap({1: None}, ()).best.size == 1


def test_between_are_all_sizes_beside_the_best_if_they_are_few() -> None:
    assert gap({1: -9.0, 2: -3.0, 4: -1.0, 8: -2.0}, (1, 2, 4, 8)).next_sizes() == (3, 5, 6, 7)


def test_between_are_a_few_of_many_spread_evenly() -> None:
    found = gap({1: -9.0, 32: -1.0, 64: -3.0}, (1, 32, 64)).next_sizes()
    assert len(found) == SIZES_PER_ROUND
    assert min(found) == 2 and max(found) > 32 and 32 not in found


def test_between_goes_on_for_a_few_rounds_and_only_where_the_size_was_open() -> None:
    searched = gap({1: -9.0, 512: -1.0, 1024: -3.0}, (1, 512, 1024))
    rounds = []
    while between := searched.next_sizes():
        rounds.append(between)
        searched.tried += [tried(size, -1.0 if size > 512 else -5.0) for size in between]
    assert len(rounds) == MAX_ROUNDS - 1 and all(0 < len(sizes) <= SIZES_PER_ROUND for sizes in rounds)
    assert gap({1: -9.0, 4: -3.0}, (1, 4), open=False).next_sizes() == ()
    assert gap({1: -9.0}, (1,)).next_sizes() == ()


def test_the_size_of_a_draft_that_is_best_is_tried_too() -> None:
    searched = gap({1: -9.0, 2: -3.0, 4: -2.0, 8: -2.5}, (1, 2, 4, 8))
    searched.tried.append(tried(5, -0.1, Mode.AUTOREGRESSIVE))
    assert searched.next_sizes() == (5, 6, 7)


def test_of_tried_texts_those_of_the_size_come_first_then_the_likelier() -> None:
    texts = [tried(1, -1.0, worth=0), tried(2, -3.0, worth=2), tried(3, -2.0, worth=1), tried(4, -2.5, worth=2)]
    assert GapSearch(SimpleNamespace(), (2,), False, texts).best.size == 4  # type: ignore[arg-type]

"""N-grams of tokens, and the pieces that those which were shown make."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from trimode_train.data import ngrams as module

Ids = NDArray[np.uint16]


def array(*ids: int) -> Ids:
    return np.array(ids, dtype=np.uint16)


def test_there_is_a_hash_for_each_ngram_and_equal_ngrams_have_equal_ones() -> None:
    hashes = module.hashes(array(5, 6, 7, 5, 6, 7, 8), 3)
    assert len(hashes) == 5
    assert hashes[0] == hashes[3]
    assert len(set(hashes.tolist())) == 4


@pytest.mark.parametrize(("tokens", "expected"), [(0, 0), (2, 0), (3, 1), (4, 2)])
def test_a_text_has_ngrams_from_n_tokens_on(tokens: int, expected: int) -> None:
    assert len(module.hashes(array(*range(tokens)), 3)) == expected


def test_order_counts() -> None:
    assert module.hashes(array(1, 2, 3), 3) != module.hashes(array(3, 2, 1), 3)


def test_only_whole_ngrams_of_one_training_text_count() -> None:
    ngrams = module.Ngrams([array(1, 2, 3, 4, 5), array(3, 4), array(9, 9, 9)], 3)
    for text in ((7, 2, 3, 4), (3, 4), (4, 5)):  # the third of the first text is cut between two
        ngrams.show(array(*text))
    assert ngrams.shown(0).tolist() == [False, True, False]
    assert ngrams.shown(1).tolist() == []
    assert ngrams.shown(2).tolist() == [False]


def test_the_first_and_the_last_ngram_are_found() -> None:
    ngrams = module.Ngrams([array(1, 2, 3, 4, 5)], 3)
    ngrams.show(array(1, 2, 3))
    ngrams.show(array(3, 4, 5))
    assert ngrams.shown(0).tolist() == [True, False, True]


def test_copies_are_the_runs_of_shown_ngrams() -> None:
    shown = np.array([True, True, False, False, True, False, False, True])  # 10 tokens, n = 3
    assert module.copies(shown, 3) == [(0, 4), (4, 7), (7, 10)]
    assert module.copies(np.array([True, False, True]), 3) == [(0, 3), (2, 5)]
    assert module.copies(np.zeros(4, dtype=np.bool_), 3) == []


def test_tokens_of_overlapping_copies_count_once() -> None:
    assert module.covered([(0, 3), (2, 5), (9, 12)]) == 8

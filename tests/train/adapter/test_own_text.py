"""Replies rewritten as the model says them."""

from __future__ import annotations

import dataclasses
from random import Random

import pytest
from tokenizers import Tokenizer
from trimode_train.adapter.own_text import own_text, rewrite
from trimode_train.data.corpus import Corpus
from trimode_train.data.packing import Document
from trimode_train.data.recipe import DataOptions
from trimode_train.evaluation.decode import autoregressive
from trimode_train.model.config import EOS_ID
from trimode_train.model.model import Model


@pytest.fixture
def pool() -> list[Document]:
    rng = Random(1)
    return [
        Document([rng.randrange(128, 512) for _ in range(n - 1)] + [EOS_ID], start)
        for n, start in ((30, 12), (25, 5), (40, 20), (19, 3))
    ]


# -- own text ----------------------------------------------------------------------------------------------------------


def test_rewritten_replies_are_the_models_greedy_text(model: Model, pool: list[Document]) -> None:
    for document in rewrite(model, [*pool, *(dataclasses.replace(d, closed=False) for d in pool)], 48, batch=3):
        start = document.start
        expected = autoregressive(model, document.ids[:start], 48 - start).ids
        assert document.ids[start:] == expected
        assert document.closed == (expected[-1] == EOS_ID)


def test_right_replies_are_kept(model: Model, pool: list[Document]) -> None:
    written = rewrite(model, pool, 48)
    assert {tuple(d.ids) for d in rewrite(model, written, 48)} == {tuple(d.ids) for d in written}


def test_the_pool_depends_on_the_seed_alone(model: Model, tokenizer: Tokenizer) -> None:
    corpus = Corpus(tokenizer, DataOptions(code_share=0, prose_share=0), max_tokens=64)
    assert own_text(model, corpus, 3, seed=5) == own_text(model, corpus, 3, seed=5)

"""Acceptance over known greedy text equals what the decoding loop itself does."""

from __future__ import annotations

import pytest
import torch
from trimode_train.adapter.acceptance import Acceptance, acceptance
from trimode_train.data.packing import Document
from trimode_train.evaluation.decode import autoregressive, self_speculation
from trimode_train.model import lora
from trimode_train.model.model import Model

from tests.support.lora import prompt, randomise


@pytest.mark.parametrize("adapter", [False, True])
def test_cycles_and_tokens_are_those_of_greedy_self_speculation(model: Model, adapter: bool) -> None:
    lora.attach(model, 4, 16)
    randomise(model)
    documents, cycles, tokens = [], 0, 0
    for seed in range(4):
        ids = prompt(seed, 9 + seed)
        text = autoregressive(model, ids, 24).ids
        decoded = self_speculation(model, ids, len(text), 6, adapter)
        documents.append(Document([*ids, *text], len(ids)))
        cycles += decoded.blocks
        tokens += len(text)
    found = acceptance(model, documents, 6, adapter=adapter)
    assert found.cycles == cycles
    assert found.tokens >= tokens - len(documents)


def test_a_quadratic_draft_is_verified_one_place_later(model: Model) -> None:
    ids = prompt(1)
    text = autoregressive(model, ids, 24).ids
    with torch.no_grad():
        found = acceptance(model, [Document([*ids, *text], len(ids))], 3, causal=True, adapter=False)
    assert len(found.drafted) <= 2 and found.per_cycle >= 1.0


def test_places_behind_the_first_wrong_one_are_not_counted() -> None:
    found = Acceptance()
    assert [found.add(right) for right in ([True, True, False, True], [False, True, True, True], [True] * 4)] == [
        3,
        1,
        5,
    ]
    assert (found.cycles, found.tokens) == (3, 9)
    assert found.drafted == [3, 2, 2, 1]
    assert found.hits == [2, 2, 1, 1]
    assert found.per_cycle == 3.0

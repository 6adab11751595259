"""Drafts laid out: what each token sees, where it stands, which clean row is its teacher."""

from __future__ import annotations

from random import Random

import pytest
import torch
from trimode_train.adapter.draft_batches import Block, chosen, draft_batch, lay_out
from trimode_train.adapter.recipe import DraftOptions
from trimode_train.data.packing import Document

MASK = 7
TEN = Document(list(range(100, 110)), 4)


def seen(block: Block, query: int) -> tuple[list[int], list[int]]:
    """Return which clean and which noisy tokens the query-th token of a lone block sees."""
    batch = lay_out([TEN], [[block]], MASK)
    row = batch.sees[0, query]
    clean = batch.clean.shape[1]
    return row[:clean].nonzero().flatten().tolist(), row[clean:].nonzero().flatten().tolist()


def test_a_linear_draft_sees_its_own_block_and_the_clean_tokens_before_its_seed() -> None:
    for query in range(4):
        assert seen(Block(5, 4, False), query) == ([0, 1, 2, 3, 4], [0, 1, 2, 3])


def test_a_quadratic_draft_sees_its_masks_and_the_clean_tokens_up_to_its_seed() -> None:
    for query in range(3):
        assert seen(Block(5, 3, True), query) == ([0, 1, 2, 3, 4, 5], [0, 1, 2])


def test_a_linear_draft_is_its_seed_and_masks_and_is_verified_from_the_next_token_on() -> None:
    batch = lay_out([TEN], [[Block(5, 4, False)]], MASK)
    assert batch.noisy[0].tolist() == [105, MASK, MASK, MASK]
    assert batch.positions[0].tolist() == [5, 6, 7, 8]
    assert batch.drafted[batch.real].tolist() == [1, 2, 3]
    assert batch.teacher[batch.real].tolist() == [5, 6, 7]
    assert batch.target[batch.real].tolist() == [106, 107, 108]


def test_a_quadratic_draft_is_masks_of_which_the_first_is_not_used() -> None:
    batch = lay_out([TEN], [[Block(5, 3, True)]], MASK)
    assert batch.noisy[0].tolist() == [MASK, MASK, MASK]
    assert batch.positions[0].tolist() == [6, 7, 8]
    assert batch.drafted[batch.real].tolist() == [1, 2]
    assert batch.teacher[batch.real].tolist() == [6, 7]
    assert batch.target[batch.real].tolist() == [107, 108]


def test_nothing_beyond_the_text_is_verified() -> None:
    batch = lay_out([TEN], [[Block(8, 4, False)]], MASK)
    assert batch.target[batch.real].tolist() == [109]


def test_blocks_and_documents_do_not_see_each_other() -> None:
    batch = lay_out([TEN, TEN], [[Block(4, 3, False), Block(6, 2, True)], [Block(5, 2, False)]], MASK)
    clean = batch.clean.shape[1]
    together = batch.sees[:, :, clean:]
    assert together[0].tolist() == [
        [True, True, True, False, False], [True, True, True, False, False], [True, True, True, False, False],
        [False, False, False, True, True], [False, False, False, True, True],
    ]  # fmt: skip
    assert batch.teacher[batch.real].tolist() == [4, 5, 7, clean + 5]
    assert batch.tokens == 10  # the second document's row is filled


@pytest.mark.parametrize("causal", [0.0, 1.0])
def test_every_chosen_block_has_something_to_verify(causal: float) -> None:
    options = DraftOptions(tokens=64, causal=causal)
    for seed in range(20):
        for document in (TEN, Document([1, 2, 3, 4], 2)):
            blocks = chosen(document, Random(seed), options)
            assert sum(block.length for block in blocks) <= 64
            assert all(block.causal == bool(causal) for block in blocks)
            batch = lay_out([document], [blocks], MASK)
            assert batch.real[:, 0].all()


def test_the_same_random_state_gives_the_same_batch(pool: list[Document]) -> None:
    options = DraftOptions(documents=2, tokens=40)
    ordered = sorted(pool, key=lambda one: len(one.ids))
    one, two, other = (draft_batch(ordered, Random(seed), options, MASK) for seed in (1, 1, 2))
    assert one.lengths == two.lengths
    tensors = [name for name in vars(one) if name != "lengths"]
    assert all(torch.equal(getattr(one, name), getattr(two, name)) for name in tensors)
    assert one.noisy.shape != other.noisy.shape or not torch.equal(one.noisy, other.noisy)

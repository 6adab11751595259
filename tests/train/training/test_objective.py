"""The training objective: masks, targets and losses of a batch."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention.flex_attention import create_mask
from trimode_train.data.packing import Batch, Document, NoiseOptions, Shape, pack, plan
from trimode_train.evaluation.decode import Session
from trimode_train.model.config import EOS_ID, MASK_ID
from trimode_train.model.model import Model, bias_from, causal_bias, grouped_attention
from trimode_train.training.objective import (
    LEAST_HIDDEN,
    Tensors,
    encode,
    losses,
    mask_rule,
    second_look,
    training_mask,
    visibility,
)


@pytest.fixture(scope="module")
def batch() -> Batch:
    rng = Random(1)
    options = NoiseOptions(block_lengths=(8, 4), block_odds=(0.5, 0.5), shifted=0.5)
    documents = [
        Document([rng.randrange(128, 512) for _ in range(n - 1)] + [EOS_ID], start) for n, start in
        ((30, 12), (25, 5), (40, 20), (9, 3))
    ]  # fmt: skip
    return pack([plan(d, rng, options, 128) for d in documents], Shape(2, 128), rng, options)


@torch.no_grad()
def row_logits(model: Model, batch: Batch) -> Tensor:
    t = Tensors.of(batch)
    return model(t.ids, t.positions, grouped_attention(bias_from(visibility(t), torch.float32)))[0]


def clean(batch: Batch, row: int, document: int) -> NDArray[np.bool_]:
    return (batch.document[row] == document) & (batch.block[row] == 0)


def pieces(batch: Batch) -> list[tuple[int, int]]:
    return [(row, document) for row in range(2) for document in range(batch.document[row].max() + 1)]


@torch.no_grad()
def test_clean_logits_are_plain_causal_logits(model: Model, batch: Batch) -> None:
    logits = row_logits(model, batch)
    assert len(pieces(batch)) == 4
    for row, document in pieces(batch):
        here = clean(batch, row, document)
        ids = torch.from_numpy(batch.ids[row][here])[None]
        n = ids.shape[1]
        expected = model(ids, torch.arange(n)[None], grouped_attention(causal_bias(n, n)))[0][0]
        torch.testing.assert_close(logits[row][torch.from_numpy(here)], expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_block_logits_are_a_bidirectional_pass_over_the_causal_cache(model: Model, batch: Batch) -> None:
    logits, blocks = row_logits(model, batch), 0
    for row, document in pieces(batch):
        ids = batch.ids[row][clean(batch, row, document)].tolist()
        for block in set(batch.block[row][batch.document[row] == document].tolist()) - {0}:
            here = batch.block[row] == block
            session = Session(model)
            session.causal(ids[: batch.positions[row][here][0]])
            expected = session.block(batch.ids[row][here].tolist())
            torch.testing.assert_close(logits[row][torch.from_numpy(here)], expected, atol=1e-4, rtol=1e-4)
            blocks += 1
    assert blocks > 8


def test_targets_are_the_next_token_and_the_own_token(batch: Batch) -> None:
    for row, document in pieces(batch):
        here = clean(batch, row, document)
        ids = batch.ids[row][here]
        assert (batch.targets[row][here][:-1] == ids[1:]).all()
        assert batch.weights[row][here][-1] == 0
        noisy = (batch.document[row] == document) & (batch.block[row] > 0)
        positions, targets = batch.positions[row][noisy], batch.targets[row][noisy]
        inside = positions < len(ids)
        assert (targets[inside] == ids[positions[inside]]).all()
        assert (targets[~inside] == EOS_ID).all()


def test_the_rule_for_flex_attention_is_the_dense_mask(batch: Batch) -> None:
    t = Tensors.of(batch)
    rows, length = t.ids.shape
    assert torch.equal(create_mask(mask_rule(t), rows, None, length, length, device="cpu"), visibility(t))


def test_prompts_are_never_masked_and_loss_is_on_masks_only(batch: Batch) -> None:
    noisy = batch.block > 0
    assert ((batch.weights > 0)[noisy] == (batch.ids == MASK_ID)[noisy]).all()
    assert not (batch.ids == MASK_ID)[~noisy].any()


def test_the_loss_is_finite_and_reaches_every_parameter(model: Model, batch: Batch) -> None:
    t = Tensors.of(batch)
    losses(model, encode(model, t.ids, t.positions, training_mask(t, torch.float32)), t).total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_second_look_reveals_the_surest_masked_tokens_and_weighs_what_is_left(batch: Batch) -> None:
    t = Tensors.of(batch)
    hidden = (t.ids == MASK_ID) & (t.block > 0)
    sure = torch.rand(t.ids.shape, generator=torch.Generator().manual_seed(3)) * hidden
    looked = second_look(t, sure, 0.3, torch.Generator().manual_seed(5))
    revealed = hidden & (looked.ids != MASK_ID)
    assert torch.equal(looked.ids[~hidden], t.ids[~hidden])
    assert torch.equal(looked.ids[revealed], t.targets[revealed])
    assert torch.equal(looked.weights[t.block == 0], t.weights[t.block == 0])
    blocks = {(row, int(b)) for row in range(2) for b in t.block[row].unique() if b > 0}
    assert len(blocks) > 8
    for row, number in blocks:
        mine = t.block[row] == number
        was, now = mine & hidden[row], mine & (looked.ids[row] == MASK_ID)
        if not was.any():
            continue
        assert now.sum() < was.sum()  # at least the surest one is revealed
        if now.any():
            assert sure[row][now].max() < sure[row][was & ~now].min()
            expected = 0.3 / max(float(now.sum() / mine.sum()), LEAST_HIDDEN)
            torch.testing.assert_close(looked.weights[row][now], torch.full((int(now.sum()),), expected))
        assert (looked.weights[row][mine & ~now] == 0).all()


def test_a_wrong_reveal_costs_more_and_a_right_one_the_same(model: Model, batch: Batch) -> None:
    t = Tensors.of(batch)
    hidden = encode(model, t.ids, t.positions, training_mask(t, torch.float32))
    plain, costly = (losses(model, hidden, t, w) for w in (0.0, 3.0))
    logits = model.diffusion_head(hidden)
    wrong = (t.block > 0) & (logits.argmax(-1) != t.targets)
    each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), t.targets.flatten(), reduction="none")
    extra = (3 * each.view_as(t.weights) * t.weights * wrong).sum() / (t.weights > 0).sum()
    torch.testing.assert_close(costly.total - plain.total, extra, atol=1e-4, rtol=1e-4)
    assert extra > 0
    chosen = t.weights > 0
    torch.testing.assert_close(plain.sure[chosen], logits.softmax(-1).max(-1).values[chosen], atol=1e-5, rtol=1e-4)
    assert (plain.sure[~chosen] == 0).all()


def test_a_span_is_one_hole_between_known_sides() -> None:
    rng, options = Random(4), NoiseOptions(block_lengths=(8,), block_odds=(1.0,), shifted=0, span_masked=1.0)
    document = Document([rng.randrange(128, 512) for _ in range(40)], start=8, closed=False)
    batch = pack([plan(document, rng, options, 128)], Shape(1, 128), rng, options)
    blocks = [(batch.block[0] == b) for b in range(1, batch.block[0].max() + 1)]
    sizes = set()
    for mine in blocks:
        hidden = np.flatnonzero(batch.ids[0][mine] == MASK_ID)
        assert (np.diff(hidden) == 1).all() and hidden[0] > 0 and hidden[-1] < mine.sum() - 1
        expected = options.diffusion_weight / max(len(hidden) / mine.sum(), options.min_span_ratio)
        assert batch.weights[0][mine][hidden] == pytest.approx(expected)
        sizes.add(len(hidden))
    assert len(sizes) > 2

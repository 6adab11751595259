"""The losses of a draft adapter, against its teacher."""

from __future__ import annotations

from random import Random

import pytest
import torch
from trimode_train.adapter.draft_objective import Drafts, Weighing, draft_losses, encode_drafts, hybrid
from trimode_train.data.packing import Document, NoiseOptions, Shape, pack, plan
from trimode_train.model import lora
from trimode_train.model.config import MASK_ID
from trimode_train.model.model import Model, bias_from
from trimode_train.training.objective import Tensors, visibility

RANK, ALPHA = 4, 16
ALL_MASKED = NoiseOptions(block_lengths=(8, 4), block_odds=(0.5, 0.5), shifted=0.5, all_masked=1.0, seed_masked=0.0)


@pytest.fixture
def batch(pool: list[Document]) -> Tensors:
    rng = Random(2)
    return Tensors.of(pack([plan(d, rng, ALL_MASKED, 128) for d in pool], Shape(2, 128), rng, ALL_MASKED))


# -- the loss ----------------------------------------------------------------------------------------------------------


def test_every_masked_token_of_the_text_has_its_teacher(batch: Tensors) -> None:
    drafts = Drafts.of(batch, 8)
    ids, positions, block, document = (getattr(batch, n).flatten() for n in ("ids", "positions", "block", "document"))
    noisy, teacher = drafts.noisy[drafts.real], drafts.teacher[drafts.real]
    assert (ids[noisy] == MASK_ID).all()
    assert (block[teacher] == 0).all()
    assert torch.equal(positions[teacher] + 1, positions[noisy])
    assert torch.equal(document[teacher], document[noisy])
    assert torch.equal(noisy // 128, teacher // 128)  # the row
    inside = sum(  # masked tokens that are not beyond their document's end
        bool(((batch.block[r] == 0) & (batch.document[r] == d) & (batch.positions[r] == p)).any())
        for r, c in (batch.ids == MASK_ID).nonzero().tolist()
        for d, p in [(batch.document[r, c], batch.positions[r, c])]
    )
    assert len(noisy) == inside == len(set(noisy.tolist()))


def test_the_hybrid_is_zero_for_equal_distributions_and_the_formula_elsewhere() -> None:
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    assert hybrid(p.log()[None], p.log()[None], 1.0).item() == pytest.approx(0, abs=1e-6)
    share = torch.exp(torch.tensor(-0.5 * 0.7))
    expected = share * (p * (p / q).log()).sum() + (1 - share) * 0.3
    assert hybrid(q.log()[None], p.log()[None], 1.0).item() == pytest.approx(expected.item(), abs=1e-6)


def test_accepted_is_the_share_that_verification_would_accept(model: Model, batch: Tensors) -> None:
    lora.attach(model, RANK, ALPHA)
    on = (batch.block > 0)[..., None].float()
    bias = bias_from(visibility(batch), torch.float32)
    hidden = encode_drafts(model, batch.ids, batch.positions, bias, on)
    drafts = Drafts.of(batch, 8)
    best = model.diffusion_head(hidden).argmax(-1).flatten()
    accepted = 0
    for noisy, teacher, real in zip(drafts.noisy.tolist(), drafts.teacher.tolist(), drafts.real.tolist(), strict=True):
        for i, j, here in zip(noisy, teacher, real, strict=True):
            if not here or best[i] != best[j]:
                break
            accepted += 1
    flat, real = hidden.flatten(0, 1), drafts.real
    student, teacher = flat[drafts.noisy[real]], flat[drafts.teacher[real]]
    result = draft_losses(model.diffusion_head, student, teacher, real, Weighing())
    assert result.accepted.item() == pytest.approx(accepted / int(drafts.real.sum()))

"""A branch of low rank beside a projection: a new one changes nothing, and it acts on marked tokens alone."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from trimode_train.model import lora
from trimode_train.model.config import MASK_ID, ModelConfig
from trimode_train.model.model import Model, causal_bias, grouped_attention

from tests.support.lora import prompt, randomise

RANK, ALPHA = 4, 16


@torch.no_grad()
def logits(model: Model, draft: Tensor | None = None) -> Tensor:
    ids = torch.tensor([prompt()])
    positions = torch.arange(ids.shape[1])[None]
    return model(ids, positions, grouped_attention(causal_bias(ids.shape[1], ids.shape[1])), draft=draft)[0][0]


# -- the branch --------------------------------------------------------------------------------------------------------


def test_a_new_adapter_changes_nothing(model: Model) -> None:
    before, names = logits(model), set(model.state_dict())
    lora.attach(model, RANK, ALPHA)
    assert torch.equal(logits(model, torch.ones(1, 12, 1)), before)
    assert names < set(model.state_dict())


def test_the_branch_acts_on_marked_tokens_only(model: Model) -> None:
    before = logits(model)
    lora.attach(model, RANK, ALPHA)
    randomise(model)
    assert torch.equal(logits(model), before)
    marked = torch.zeros(1, 12, 1)
    marked[0, 7] = 1
    after = logits(model, marked)
    torch.testing.assert_close(after[:7], before[:7])
    assert (after[7] - before[7]).abs().max() > 0.1


def test_the_branch_equals_a_merged_projection(model: Model, tiny_config: ModelConfig) -> None:
    lora.attach(model, RANK, ALPHA)
    randomise(model)
    merged = Model(tiny_config).eval()
    merged.load_state_dict({k: v for k, v in model.state_dict().items() if "draft_branch" not in k})
    for layer, other in zip(model.encoder.layers, merged.encoder.layers, strict=True):
        branch = layer.self_attn.draft_branch
        other.self_attn.o_proj.weight.data += ALPHA / RANK * branch.lora_B.weight.data @ branch.lora_A.weight.data
    torch.testing.assert_close(logits(model, torch.ones(1, 12, 1)), logits(merged), atol=1e-3, rtol=1e-3)


def test_a_loaded_adapter_is_the_saved_one(model: Model, tiny_config: ModelConfig, tmp_path: Path) -> None:
    lora.attach(model, RANK, ALPHA)
    randomise(model)
    lora.save(lora.snapshot(model), RANK, ALPHA, tmp_path, mask_id=MASK_ID, dtype=torch.float32)
    other = Model(tiny_config).eval()
    other.load_state_dict({k: v for k, v in model.state_dict().items() if "draft_branch" not in k})
    lora.attach(other, RANK, ALPHA)
    lora.restore(other, load_file(tmp_path / "linear_spec_lora/adapter_model.safetensors"))
    on = torch.ones(1, 12, 1)
    assert torch.equal(logits(model, on), logits(other, on))


# -- the mask's embedding ----------------------------------------------------------------------------------------------


def with_mask(model: Model, ids: list[int], *, on: bool) -> Tensor:
    tokens = torch.tensor([ids])
    places, attend = torch.arange(len(ids))[None], grouped_attention(causal_bias(len(ids), len(ids)))
    with torch.no_grad():
        return model(tokens, places, attend, draft=torch.ones(1, len(ids), 1) if on else None)[0][0]


def test_the_masks_embedding_acts_on_masks_in_drafts_alone(model: Model) -> None:
    ids = [*prompt()[:4], MASK_ID, *prompt()[:3]]
    before = with_mask(model, ids, on=False)
    lora.attach(model, RANK, ALPHA)
    lora.attach_mask(model)
    assert model.encoder.mask_row is not None
    model.encoder.mask_row.data += 1.0
    assert torch.equal(with_mask(model, ids, on=False), before)
    drafted = with_mask(model, ids, on=True)
    torch.testing.assert_close(drafted[:4], before[:4])
    assert (drafted[4:] - before[4:]).abs().max() > 0.1


def test_the_masks_embedding_travels_with_the_adapter_in_bfloat16(model: Model, tmp_path: Path) -> None:
    lora.attach(model, RANK, ALPHA)
    lora.attach_mask(model)
    lora.save(lora.snapshot(model), RANK, ALPHA, tmp_path, mask_id=7, dtype=torch.bfloat16)
    config = json.loads((tmp_path / "linear_spec_lora/adapter_config.json").read_text())
    assert config["trainable_token_indices"] == {"embed_tokens": [7]}
    tensors = load_file(tmp_path / "linear_spec_lora/adapter_model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert tensors[lora.MASK_ROW].shape == (1, model.config.hidden_size)

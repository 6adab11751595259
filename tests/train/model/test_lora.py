"""A branch of low rank beside a projection: a new one changes nothing, and it acts on marked tokens alone."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from trimode_train.model import lora
from trimode_train.model.config import ModelConfig
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
    lora.save(lora.snapshot(model), RANK, ALPHA, tmp_path)
    other = Model(tiny_config).eval()
    other.load_state_dict({k: v for k, v in model.state_dict().items() if "draft_branch" not in k})
    lora.attach(other, RANK, ALPHA)
    lora.restore(other, load_file(tmp_path / "linear_spec_lora/adapter_model.safetensors"))
    on = torch.ones(1, 12, 1)
    assert torch.equal(logits(model, on), logits(other, on))

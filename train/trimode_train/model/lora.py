"""The draft adapter, a LoRA on every layer's `o_proj`: attached to a model, and as files in PEFT's layout.

Knows names, shapes and the scale alpha / rank. Knows nothing about how the adapter is trained or when it is on.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from .model import DraftBranch, Model

FOLDER = "linear_spec_lora"
MASK_ROW = "base_model.model.encoder.embed_tokens.token_adapter.trainable_tokens_delta"
"""PEFT's name for embeddings that are trained with an adapter, (tokens, hidden); ours has the mask's alone."""
CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"


def attach(model: Model, rank: int, alpha: float) -> None:
    """Give every layer a draft branch, which changes nothing yet because B is 0, and freeze everything else."""
    model.requires_grad_(False)
    for layer in model.encoder.layers:
        o_proj = layer.self_attn.o_proj
        branch = DraftBranch(o_proj.in_features, o_proj.out_features, rank, alpha / rank)
        layer.self_attn.draft_branch = branch.to(o_proj.weight.device)


def attach_mask(model: Model) -> None:
    """Give drafts a mask's embedding of their own, which begins as the mean of all tokens' embeddings."""
    mean = model.encoder.embed_tokens.weight.detach().mean(0)  # (hidden,)
    model.encoder.mask_row = nn.Parameter(mean.clone())


def weights(model: Model) -> dict[str, nn.Parameter]:
    """Return the adapter's matrices by their names in the file: A (rank, inputs), B (outputs, rank)."""
    return dict(_named(model))


def _named(model: Model) -> Iterator[tuple[str, nn.Parameter]]:
    for i, layer in enumerate(model.encoder.layers):
        prefix = f"base_model.model.encoder.layers.{i}.self_attn.o_proj"
        branch: DraftBranch = layer.self_attn.draft_branch
        yield f"{prefix}.lora_A.weight", branch.lora_A.weight
        yield f"{prefix}.lora_B.weight", branch.lora_B.weight
    if model.encoder.mask_row is not None:
        yield MASK_ROW, model.encoder.mask_row


def snapshot(model: Model) -> dict[str, Tensor]:
    """Return a copy of the adapter's matrices, on the CPU."""
    return {name: parameter.detach().cpu().clone() for name, parameter in _named(model)}


def restore(model: Model, tensors: dict[str, Tensor]) -> None:
    """Put matrices into the attached branches. Raises KeyError or RuntimeError if they do not fit."""
    for name, parameter in _named(model):
        parameter.data.copy_(tensors[name])


def save(
    tensors: dict[str, Tensor], rank: int, alpha: float, checkpoint: Path, *, mask_id: int, dtype: torch.dtype
) -> None:
    """Write `linear_spec_lora/` into a checkpoint folder; each file is replaced atomically.

    `mask_id` is named where `tensors` have the mask's embedding.
    """
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0,
        "bias": "none",
        "target_modules": ["o_proj"],
        "use_rslora": False,
        "use_dora": False,
        "inference_mode": True,
        "task_type": None,
    }
    if MASK_ROW in tensors:
        config["trainable_token_indices"] = {"embed_tokens": [mask_id]}
        tensors = {**tensors, MASK_ROW: tensors[MASK_ROW][None]}
    folder = checkpoint / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=checkpoint, prefix=".adapter-") as name:
        temporary = Path(name)
        save_file({k: v.to(dtype).contiguous() for k, v in tensors.items()}, temporary / TENSORS, {"format": "pt"})
        (temporary / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        for file in (TENSORS, CONFIG):
            (temporary / file).chmod(0o644)
            os.replace(temporary / file, folder / file)

"""A checkpoint of the Llama family, in any layout that can be served, as train's network.

Reads it with the converter, which a machine that trains from an archive does not have. Knows no training.
"""

from __future__ import annotations

from pathlib import Path

import torch
from trimode_convert.bundle.facts import side_files_of
from trimode_convert.checkpoint.checkpoint import HEAD, Checkpoint

from .config import BOS_ID, ModelConfig
from .model import Model

TOKENIZER = "tokenizer.json"


def config_of(checkpoint: Checkpoint) -> ModelConfig:
    """Return the shape of an opened checkpoint of the Llama family, whose rotary positions are plain.

    Raises:
        ValueError: its rotary positions or its queries are scaled, which a model here would leave out.
    """
    own = checkpoint.config
    if own.rope.kind != "default" or own.rope.divisors or own.rope.query_scale_beta:
        raise ValueError(f"{checkpoint.folder}: rotary positions must be plain, got {own.rope}")
    return ModelConfig(
        vocab_size=own.vocab_size,
        hidden_size=own.hidden_size,
        num_hidden_layers=own.num_layers,
        num_attention_heads=own.num_heads,
        num_key_value_heads=own.num_kv_heads,
        head_dim=own.head_dim,
        intermediate_size=own.intermediate_size,
        max_position_embeddings=own.max_positions,
        rms_norm_eps=own.norm_epsilon,
        rope_theta=own.rope.theta,
        rope_factor=1.0,  # YaRN by 1 is no scaling
        original_max_position_embeddings=own.max_positions,
        llama_4_scaling_beta=0.0,
        block_size=own.block_size,
        mask_id=own.mask_token_id,
        bos_id=BOS_ID if own.bos_token_id is None else own.bos_token_id,
        eos_id=own.eos_token_id,
        tied=HEAD not in checkpoint.tensors,
    )


def load_base(path: Path) -> Model:
    """Load a checkpoint folder or GGUF file as a model in float32; a tied head is the embedding itself.

    Raises:
        ValueError: see config_of.
        CheckpointError: it cannot be read.
    """
    with Checkpoint.open(path) as checkpoint:
        model = Model(config_of(checkpoint))
        tensors = {name: torch.from_numpy(tensor.read().copy()) for name, tensor in checkpoint.tensors.items()}
    model.load_state_dict(tensors, strict=not model.config.tied)
    return model


def text_files(path: Path) -> dict[str, bytes]:
    """Return a checkpoint's files that hold no tensors, its tokenizer and chat template among them, by name.

    Raises:
        CheckpointError: it cannot be read.
    """
    with Checkpoint.open(path) as checkpoint:
        return side_files_of(checkpoint)

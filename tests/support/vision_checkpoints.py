"""Small random checkpoints of the vision-language model, in its layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.support import checkpoints as factory

TOWER_SIZE = 16
"""Channels of the tower: two heads of 8."""


def config(**changes: Any) -> dict[str, Any]:
    """A tiny model's config.json with changes; vision_<key> changes a key of vision_config, None removes it."""
    own = {name.removeprefix("vision_"): value for name, value in changes.items() if name.startswith("vision_")}
    made = factory.config(**{name: value for name, value in changes.items() if not name.startswith("vision_")})
    made |= {
        "architectures": ["NemotronLabsDiffusionVLMModel"],
        "model_type": "nemotron_labs_diffusion_vlm",
        "multimodal_projector_bias": False,
        "projector_hidden_act": "gelu",
        "spatial_merge_size": 2,
        "vision_feature_layer": -1,
    } | {name: made[name] for name in changes if name in made}
    made["vision_config"] = {
        "head_dim": 8,
        "hidden_act": "silu",
        "hidden_size": TOWER_SIZE,
        "image_size": 140,
        "intermediate_size": 24,
        "model_type": "pixtral",
        "num_attention_heads": 2,
        "num_channels": 3,
        "num_hidden_layers": 2,
        "patch_size": 14,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
    } | own
    made["vision_config"] = {name: value for name, value in made["vision_config"].items() if value is not None}
    return made


def tensors(settings: dict[str, Any], seed: int = 1) -> factory.Arrays:
    """Random weights of every tensor, float32."""
    vision, hidden, noise = settings["vision_config"], settings["hidden_size"], np.random.default_rng(seed)
    size, inner = vision["hidden_size"], vision["intermediate_size"]
    tower, projector = "encoder.vision_tower", "encoder.multi_modal_projector"
    shapes: dict[str, tuple[int, ...]] = {
        f"{tower}.patch_conv": (size, 3, vision["patch_size"], vision["patch_size"]),
        f"{tower}.ln_pre": (size,),
        f"{projector}.norm": (size,),
        f"{projector}.patch_merger.merging_layer": (size, 4 * size),
        f"{projector}.linear_1": (hidden, size),
        f"{projector}.linear_2": (hidden, hidden),
    }
    for layer in range(vision["num_hidden_layers"]):
        name = f"{tower}.transformer.layers.{layer}"
        shapes |= {f"{name}.attention.{kind}_proj": (size, size) for kind in "qkvo"}
        shapes |= {f"{name}.{kind}_norm": (size,) for kind in ("attention", "ffn")}
        shapes |= {f"{name}.feed_forward.{kind}_proj": (inner, size) for kind in ("gate", "up")}
        shapes[f"{name}.feed_forward.down_proj"] = (size, inner)
    found = factory.tensors(settings)
    for name, shape in shapes.items():
        values = noise.standard_normal(shape, np.float32)
        scaled = 1 + 0.1 * values if len(shape) == 1 else values / np.sqrt(np.prod(shape[1:]))
        found[f"{name}.weight"] = scaled.astype(np.float32)
    return found


def write(folder: Path, **changes: Any) -> Path:
    """Write a checkpoint; return its folder."""
    settings = config(**changes)
    factory.write(folder, settings, tensors(settings))
    return folder

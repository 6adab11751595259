"""Writes small random checkpoints in the official layout, and broken ones, for the converter's tests.

Its own safetensors writer: the tests must not read with the code that wrote.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

MASK_ROW = "base_model.model.encoder.embed_tokens.token_adapter.trainable_tokens_delta"


def config(**changes: Any) -> dict[str, Any]:
    """A tiny model's config.json with changes; rope_<key> changes a key of rope_parameters."""
    made: dict[str, Any] = {
        "architectures": ["NemotronLabsDiffusionModel"],
        "model_type": "nemotron_labs_diffusion",
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "intermediate_size": 40,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "vocab_size": 50,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "max_position_embeddings": 512,
        "attention_bias": False,
        "mlp_bias": False,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "block_size": 8,
        "mask_token_id": 3,
        "eos_token_id": 2,
        "bos_token_id": 1,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 1e4,
            "factor": 16.0,
            "original_max_position_embeddings": 16,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
            "llama_4_scaling_beta": 0.1,
        },
    }
    for name, value in changes.items():
        where, key = (
            (made["rope_parameters"], name[5:])
            if name.startswith("rope_") and name != "rope_parameters"
            else (made, name)
        )
        where[key] = value
    return made


def shapes(settings: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The architecture's tensors, 9 a layer and 3 more, written down a second time."""
    hidden, inner, vocab = settings["hidden_size"], settings["intermediate_size"], settings["vocab_size"]
    wide, narrow = (settings["head_dim"] * settings[f"num_{kind}_heads"] for kind in ("attention", "key_value"))
    made: dict[str, tuple[int, ...]] = {"encoder.embed_tokens.weight": (vocab, hidden)}
    for layer in range(settings["num_hidden_layers"]):
        prefix = f"encoder.layers.{layer}."
        made[f"{prefix}input_layernorm.weight"] = (hidden,)
        made[f"{prefix}self_attn.q_proj.weight"] = (wide, hidden)
        made[f"{prefix}self_attn.k_proj.weight"] = (narrow, hidden)
        made[f"{prefix}self_attn.v_proj.weight"] = (narrow, hidden)
        made[f"{prefix}self_attn.o_proj.weight"] = (hidden, wide)
        made[f"{prefix}post_attention_layernorm.weight"] = (hidden,)
        made[f"{prefix}mlp.gate_proj.weight"] = (inner, hidden)
        made[f"{prefix}mlp.up_proj.weight"] = (inner, hidden)
        made[f"{prefix}mlp.down_proj.weight"] = (hidden, inner)
    return made | {"encoder.norm.weight": (hidden,), "diffusion_head.weight": (vocab, hidden)}


def tensors(settings: Mapping[str, Any], seed: int = 0) -> Arrays:
    """Random float32 weights of a scale that keeps activations near one."""
    random = np.random.default_rng(seed)
    made: Arrays = {}
    for name, shape in shapes(settings).items():
        values = random.standard_normal(shape, np.float32)
        made[name] = values / np.float32(np.sqrt(shape[-1])) if len(shape) == 2 else 1 + 0.1 * values
    return made


def write(
    folder: Path,
    settings: Mapping[str, Any] | None = None,
    arrays: Arrays | None = None,
    *,
    dtype: str = "F32",
    shards: int = 1,
    adapter_rank: int = 0,
) -> Path:
    """Write a checkpoint and return its folder; without arrays the weights are random."""
    settings = config() if settings is None else settings
    arrays = tensors(settings) if arrays is None else arrays
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings))
    if shards == 1:
        write_safetensors(folder / "model.safetensors", arrays, dtype)
    else:
        names = sorted(arrays)
        weight_map = {name: f"model-{i % shards + 1:05}-of-{shards:05}.safetensors" for i, name in enumerate(names)}
        for shard in set(weight_map.values()):
            write_safetensors(folder / shard, {n: arrays[n] for n in names if weight_map[n] == shard}, dtype)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    if adapter_rank:
        write_adapter(folder / "linear_spec_lora", settings, adapter_rank)
    return folder


def write_adapter(
    folder: Path, settings: Mapping[str, Any], rank: int, *, alpha: int = 16, mask: int | None = None, **changes: Any
) -> None:
    """Write a PEFT LoRA on every o_proj; with `mask`, an embedding of this token too."""
    folder.mkdir(exist_ok=True)
    facts: dict[str, Any] = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": ["o_proj"]}
    facts |= {"bias": "none"} | ({} if mask is None else {"trainable_token_indices": {"embed_tokens": [mask]}})
    (folder / "adapter_config.json").write_text(json.dumps(facts | changes))
    random = np.random.default_rng(7)
    wide = settings["head_dim"] * settings["num_attention_heads"]
    arrays: Arrays = {}
    for layer in range(settings["num_hidden_layers"]):
        prefix = f"base_model.model.encoder.layers.{layer}.self_attn.o_proj.lora_"
        arrays[f"{prefix}A.weight"] = random.standard_normal((rank, wide), np.float32) / np.float32(np.sqrt(wide))
        arrays[f"{prefix}B.weight"] = random.standard_normal((settings["hidden_size"], rank), np.float32) * 0.1
    if mask is not None:
        arrays[MASK_ROW] = random.standard_normal((1, settings["hidden_size"]), np.float32)
    write_safetensors(folder / "adapter_model.safetensors", arrays)


def write_safetensors(path: Path, arrays: Mapping[str, NDArray[Any]], dtype: str = "F32") -> None:
    """Write float arrays as F32, F16 or BF16 (cut, not rounded, to its upper half)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    bodies = []
    end = 0
    for name, values in arrays.items():
        body = encode(values, dtype)
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [end, end + len(body)]}
        bodies.append(body)
        end += len(body)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(bodies))


def encode(values: NDArray[Any], dtype: str) -> bytes:
    """The bytes of float32 values in a safetensors dtype."""
    if dtype == "BF16":
        return (np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return values.astype({"F32": np.float32, "F16": np.float16}[dtype]).tobytes()


def as_stored(arrays: Arrays, dtype: str) -> Arrays:
    """The float32 values a reader of that dtype must see."""
    if dtype == "BF16":
        cut = {n: np.ascontiguousarray(v, np.float32).view(np.uint32) & 0xFFFF0000 for n, v in arrays.items()}
        return {name: bits.view(np.float32) for name, bits in cut.items()}
    return {n: v.astype({"F32": np.float32, "F16": np.float16}[dtype]).astype(np.float32) for n, v in arrays.items()}

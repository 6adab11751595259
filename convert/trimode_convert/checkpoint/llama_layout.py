"""The layout of plain Llama-family checkpoints on Hugging Face: Llama, Mistral, Ministral 3.

They were trained to predict the next token and not to denoise. A value that the graph does not implement is refused.
Source of keys and defaults: transformers' LlamaConfig, MistralConfig and Ministral3Config.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from trimode.errors import CheckpointError

from .config import CONFIG, ModelConfig, Rope, check_heads, read_rope
from .keys import Keys
from .shards import open_shards, remarks
from .source import Source
from .special_tokens import TokenTable, unused_special
from .tensor_file import TensorFile

ARCHITECTURES = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "ministral3": "Ministral3ForCausalLM"}
"""model_type -> architectures."""
DEFAULT_THETA = 10000.0  # transformers' own, for a config.json without rope_theta
BLOCK_SIZE = 32
"""Tokens of the widest call when decoding, as in the released diffusion models: the engine's layout needs one."""
# Keys that may be missing, each with the only values that the graph implements.
MUST_BE: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu",),
    "attention_bias": (False, None),
    "mlp_bias": (False, None),
    "sliding_window": (None,),
    "quantization_config": (None,),
    "num_local_experts": (None, 0, 1),
    "partial_rotary_factor": (None, 1.0),
}
LLAMA3_KEYS = {
    *("rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor"),
    "original_max_position_embeddings",
}
FULL_ATTENTION = "full_attention"
OLD_BUFFER = "rotary_emb.inv_freq"  # old checkpoints store it in each layer; it follows from rope_theta


def read(folder: Path, keys: Keys, files: list[TensorFile]) -> Source:
    """Read a folder whose config.json is `keys`; opened files are appended to `files`, also before an error.

    Raises:
        CheckpointError: config.json or a tensor file is missing or broken, or the model is one that the graph is not.
    """
    config = _config(folder, keys)
    stored = open_shards(folder, files)
    tensors = {_official(name): tensor for name, tensor in stored.items() if not name.endswith(OLD_BUFFER)}
    name, said, hashed = folder.resolve().name, remarks(folder), (folder / CONFIG,)
    return Source(name, folder, config, tensors, hashed=hashed, spelled=spelled, remarks=said)


def _official(name: str) -> str:
    if name.startswith("model."):
        return f"encoder.{name.removeprefix('model.')}"
    return f"diffusion_head.{name.removeprefix('lm_head.')}" if name.startswith("lm_head.") else name


def spelled(name: str) -> str:
    """Return the name in this layout of a tensor of the official one."""
    return name.replace("encoder.", "model.", 1).replace("diffusion_head.", "lm_head.", 1)


def _config(folder: Path, keys: Keys) -> ModelConfig:
    expected = [ARCHITECTURES[keys.get("model_type")]]
    if (found := keys.values.get("architectures")) != expected:
        raise keys.error("architectures", repr(expected), found)
    for name, allowed in MUST_BE.items():
        if keys.values.get(name, allowed[0]) not in allowed:
            raise keys.error(name, repr(allowed[0]), keys.values[name])
    if set(kinds := keys.values.get("layer_types") or ()) - {FULL_ATTENTION}:
        raise keys.error("layer_types", f"{FULL_ATTENTION!r} alone", sorted(set(kinds)))
    heads, table = keys.count("num_attention_heads"), TokenTable.load(folder)
    head_dim = keys.count("hidden_size") // heads if keys.values.get("head_dim") is None else keys.count("head_dim")
    end = _end(keys, table)
    config = ModelConfig(
        hidden_size=keys.count("hidden_size"),
        num_layers=keys.count("num_hidden_layers"),
        intermediate_size=keys.count("intermediate_size"),
        num_heads=heads,
        num_kv_heads=heads if keys.values.get("num_key_value_heads") is None else keys.count("num_key_value_heads"),
        head_dim=head_dim,
        vocab_size=keys.count("vocab_size"),
        norm_epsilon=keys.number("rms_norm_eps"),
        max_positions=keys.count("max_position_embeddings"),
        block_size=BLOCK_SIZE,
        mask_token_id=_mask(keys, table, end),
        eos_token_id=end,
        bos_token_id=None if keys.values.get("bos_token_id") is None else keys.token("bos_token_id"),
        tied=keys.flag("tie_word_embeddings") if "tie_word_embeddings" in keys.values else False,
        rope=_rope(keys, head_dim),
        denoises=False,
    )
    check_heads(keys, config)
    return config


def _rope(keys: Keys, head_dim: int) -> Rope:
    """Read rope_parameters, or rope_theta and rope_scaling, as transformers wrote them before version 5."""
    name, theta = "rope_parameters", keys.values.get("rope_theta", DEFAULT_THETA)
    found = keys.get(name) if keys.get("model_type") == "ministral3" else keys.values.get(name)
    if found is None:
        name, found = "rope_scaling", keys.values.get("rope_scaling") or {}
    if not isinstance(found, dict):
        raise keys.error(name, "an object", found)
    merged = {"rope_type": found.get("type", "default"), "rope_theta": theta} | found
    merged.pop("max_position_embeddings", None)  # Ministral 3 repeats it there
    rope = Keys(keys.path, merged, f"{name}.")
    return _llama3(rope, head_dim) if merged["rope_type"] == "llama3" else read_rope(rope)


def _llama3(rope: Keys, head_dim: int) -> Rope:
    """Read Llama 3's scaling: slow pairs are divided by the factor, fast ones stay, those between are blended.

    Source: transformers, modeling_rope_utils (_compute_llama3_parameters).
    """
    theta, factor = rope.number("rope_theta"), rope.number("factor")
    low, high = rope.number("low_freq_factor"), rope.number("high_freq_factor")
    original = rope.count("original_max_position_embeddings")
    if unknown := sorted(set(rope.values) - LLAMA3_KEYS):
        raise rope.error(unknown[0], "no such key", rope.values[unknown[0]])
    if high <= low:
        raise rope.error("high_freq_factor", f"above low_freq_factor = {low:g}", high)
    divisors = []
    for pair in range(head_dim // 2):
        turns = original * theta ** (-2 * pair / head_dim) / (2 * math.pi)  # over the original length
        share = min(max((turns - low) / (high - low), 0.0), 1.0)  # 0: divide, 1: keep
        divisors.append(1 / ((1 - share) / factor + share))
    return Rope("default", theta, divisors=tuple(divisors))


def _end(keys: Keys, table: TokenTable | None) -> int:
    """Return the token that ends an answer; where config.json lists several, the tokenizer's own among them."""
    found = keys.get("eos_token_id")
    if not isinstance(found, list):
        return keys.token("eos_token_id")
    ends = [Keys(keys.path, {**keys.values, "eos_token_id": one}).token("eos_token_id") for one in found]
    if not ends:
        raise keys.error("eos_token_id", "a token id", found)
    return table.end if table is not None and table.end in ends else ends[0]


def _mask(keys: Keys, table: TokenTable | None, end: int) -> int:
    """Return the id that stands for a mask in the engine's layout, a token that no text has."""
    if keys.values.get("mask_token_id") is not None:
        return keys.token("mask_token_id")
    if table is None:
        raise CheckpointError(f"{keys.path}: mask_token_id: the key is missing, and there is no tokenizer.json")
    named = {keys.values.get(f"{role}_token_id") for role in ("bos", "pad", "unk")}
    chosen = unused_special(table, {end, *(one for one in named if isinstance(one, int))}, keys.count("vocab_size"))
    if chosen is None:
        raise CheckpointError(
            f"{keys.path}: mask_token_id: the key is missing, and tokenizer.json has no special token without a use; "
            f"found {json.dumps(sorted(table.special.values()))[:80]}"
        )
    return chosen

"""The released models' config.json, as far as speed and memory depend on it, and what was published of their decoding.

Sources: config.json of nvidia/Nemotron-Labs-Diffusion-3B, -8B and -14B; arXiv 2607.05722, Tables 5 to 7. Needs nothing
but Python.
"""

from __future__ import annotations

from typing import Any

_COMMON: dict[str, Any] = {
    "architectures": ["NemotronLabsDiffusionModel"],
    "model_type": "nemotron_labs_diffusion",
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 131072,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "max_position_embeddings": 262144,
    "attention_bias": False,
    "mlp_bias": False,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "block_size": 32,
    "mask_token_id": 100,
    "eos_token_id": 11,
    "bos_token_id": 1,
}
TINY: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 512,
}
"""Dimensions for rehearsals on a CPU, in the place of a released model's."""
_ROPE: dict[str, Any] = {
    "rope_type": "yarn",
    "factor": 16.0,
    "original_max_position_embeddings": 16384,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}


def _config(hidden: int, layers: int, inner: int, theta: float) -> dict[str, Any]:
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "intermediate_size": inner}
    return {**_COMMON, **sizes, "rope_parameters": {**_ROPE, "rope_theta": theta}}


CONFIGS: dict[str, dict[str, Any]] = {
    "3b": _config(3072, 26, 9216, 1e6),
    "8b": _config(4096, 34, 14336, 1e6),
    "14b": _config(5120, 40, 16384, 1e9),
}

DIFFUSION_PER_FORWARD = {"3b": 1.91, "8b": 2.57, "14b": 2.74}
"""Published tokens a forward, commit included, at block 8 and threshold 0.9; a mean over ten tasks of knowledge, code
and mathematics."""
SPECULATION_PER_CYCLE = {
    "3b": {"without adapter": 3.81, "with adapter": 4.36},
    "8b": {"without adapter": 4.52, "with adapter": 5.99},
    "14b": {"without adapter": 4.67, "with adapter": 5.96},
}
"""Published tokens a cycle at block 32, a draft and its verification counted once, over the same tasks."""


def tensors(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return every tensor of a checkpoint, 9 a layer and 3 more, and its shape, [out, in] as stored."""
    hidden, inner, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    layer: dict[str, tuple[int, ...]] = {
        "input_layernorm": (hidden,),
        "self_attn.q_proj": (queries, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "post_attention_layernorm": (hidden,),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    made: dict[str, tuple[int, ...]] = {"encoder.embed_tokens.weight": (vocab, hidden)}
    for index in range(config["num_hidden_layers"]):
        made |= {f"encoder.layers.{index}.{name}.weight": shape for name, shape in layer.items()}
    return made | {"encoder.norm.weight": (hidden,), "diffusion_head.weight": (vocab, hidden)}

"""The released models' configurations, as far as speed and memory depend on them, and what was published of them.

Sources of published.json: config.json of nvidia/Nemotron-Labs-Diffusion-3B, -8B and -14B; arXiv 2607.05722, Tables 5 to
7 and 10. Needs nothing but Python.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_DATA: dict[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))

CONFIGS: dict[str, dict[str, Any]] = {
    name: {**_DATA["config"], **sizes, "rope_parameters": {**_DATA["rope"], "rope_theta": _DATA["rope_theta"][name]}}
    for name, sizes in _DATA["sizes"].items()
}
TINY: dict[str, Any] = {
    **{"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128, "vocab_size": 512},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16},
}
"""Dimensions for rehearsals on a CPU, in the place of a released model's."""
DIFFUSION_PER_FORWARD: dict[str, float] = _DATA["diffusion_per_forward"]
"""Published tokens a forward, commit included, at block 8 and threshold 0.9; a mean over ten tasks of knowledge, code
and mathematics."""
SPECULATION_PER_CYCLE: dict[str, dict[str, float]] = _DATA["speculation_per_cycle"]
"""Published tokens a cycle at block 32, a draft and its verification counted once, over the same tasks."""
BENCHMARKS: list[str] = _DATA["benchmarks"]
MODES_8B: list[dict[str, Any]] = _DATA["modes_8b"]
"""The 8B model's modes: accuracy by benchmark (None where the paper prints none), their average, tokens a forward."""
ACCEPTANCE_8B: dict[str, float] = _DATA["acceptance_8b"]
"""Its acceptance length on SPEED-Bench at block 32, without and with the adapter."""


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

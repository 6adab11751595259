"""The released models' dimensions (their config.json), with fewer layers and, where a test says so, fewer tokens."""

from __future__ import annotations

from typing import Any

from tests.support import checkpoints as factory
from tests.support import vision_checkpoints

SIZES: dict[str, dict[str, Any]] = {
    "3b": {"hidden_size": 3072, "num_hidden_layers": 26, "intermediate_size": 9216, "rope_rope_theta": 1e6},
    "8b": {"hidden_size": 4096, "num_hidden_layers": 34, "intermediate_size": 14336, "rope_rope_theta": 1e6},
    "14b": {"hidden_size": 5120, "num_hidden_layers": 40, "intermediate_size": 16384, "rope_rope_theta": 1e9},
}
PARAMETERS = {"3b": 3_831_659_520, "8b": 8_489_553_920, "14b": 13_506_073_600}
ADAPTER_RANK = 128


TOWER = {
    "vision_hidden_size": 1024,
    "vision_image_size": 1540,
    "vision_intermediate_size": 4096,
    "vision_num_attention_heads": 16,
    "vision_head_dim": 64,
    "vision_num_hidden_layers": 24,
}
"""The tower of the vision-language model, as changes of `vision_checkpoints.config`."""


def vision_config() -> dict[str, Any]:
    """The vision-language model's config.json: the 8B with one more row in its vocabulary, and a tower."""
    text = config("8b", vocab_size=131073)
    own = vision_checkpoints.config(**TOWER)
    return own | {name: value for name, value in text.items() if name not in ("architectures", "model_type")}


def config(size: str, **changes: Any) -> dict[str, Any]:
    """A released model's config.json with changes."""
    common = {
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 131072,
        "max_position_embeddings": 262144,
        "block_size": 32,
        "mask_token_id": 100,
        "eos_token_id": 11,
        "rope_original_max_position_embeddings": 16384,
    }
    return factory.config(**common | SIZES[size] | changes)

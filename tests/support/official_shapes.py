"""The released models' dimensions (their config.json), with fewer layers and, where a test says so, fewer tokens."""

from __future__ import annotations

from typing import Any

from tests.support import checkpoints as factory

SIZES: dict[str, dict[str, Any]] = {
    "3b": {"hidden_size": 3072, "num_hidden_layers": 26, "intermediate_size": 9216, "rope_rope_theta": 1e6},
    "8b": {"hidden_size": 4096, "num_hidden_layers": 34, "intermediate_size": 14336, "rope_rope_theta": 1e6},
    "14b": {"hidden_size": 5120, "num_hidden_layers": 40, "intermediate_size": 16384, "rope_rope_theta": 1e9},
}
PARAMETERS = {"3b": 3_831_659_520, "8b": 8_489_553_920, "14b": 13_506_073_600}
ADAPTER_RANK = 128


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

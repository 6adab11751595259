"""The bytes of keys and values, the one formula from which every engine's memory is computed. Reads no file."""

from __future__ import annotations

from typing import Protocol


class HasCache(Protocol):
    """A model's sizes, as a manifest and a checkpoint's config have them."""

    @property
    def num_layers(self) -> int:
        """Layers, each with keys and values of its own."""
        ...

    @property
    def num_kv_heads(self) -> int:
        """Heads of keys and values."""
        ...

    @property
    def head_dim(self) -> int:
        """Numbers of a head."""
        ...


def kv_bytes(model: HasCache, tokens: int, value_bytes: int) -> int:
    """Return the bytes of the keys and values of `tokens` tokens in all layers, with `value_bytes` a number."""
    return 2 * model.num_layers * model.num_kv_heads * model.head_dim * tokens * value_bytes

"""tensors.json: where each tensor of a checkpoint lies, for an engine that reads the checkpoint's own files.

The converter writes it, the engine reads it; what the manifest says is not repeated. Knows nothing of arrays.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BundleError
from .manifest import rebuild_hint

TENSORS = "tensors.json"
VERSION = 1
"""The version of the format of tensors.json. A bundle of another version must be built again."""
ITEM_BYTES = {"BF16": 2, "F16": 2, "F32": 4}
"""Bytes of a value, by the name that safetensors gives its type."""
EMBEDDING, HEAD, FINAL_NORM = "embedding", "head", "final_norm"
MASK_EMBEDDING = "mask_embedding"
"""The embedding of masks while the draft adapter is on, (1, hidden), where the adapter brings one."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file of the bundle: little-endian values without gaps.

    Attributes:
        file: the file's name in the bundle.
        dtype: a key of ITEM_BYTES.
        offset: bytes from the beginning of the file.
    """

    file: str
    dtype: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Positions:
    """How positions turn queries and keys.

    Attributes:
        frequencies: (head_dim / 2,), the angle per position of each pair of channels.
        factor: of cosine and sine.
        query_scale_beta, original_length: queries are multiplied by 1 + beta * ln(1 + floor(position / length)).
    """

    frequencies: tuple[float, ...]
    factor: float
    query_scale_beta: float
    original_length: int


@dataclass(frozen=True)
class TowerSizes:
    """What an engine needs of the tower that encodes pictures in addition to the manifest.

    Attributes:
        theta: the base of its rotation's angles.
        norm_epsilon: of all of its norms; the projector's norm has the language model's.
    """

    hidden_size: int
    num_layers: int
    num_heads: int
    theta: float
    norm_epsilon: float


@dataclass(frozen=True)
class TensorIndex:
    """What an engine needs of a checkpoint in addition to the manifest.

    Attributes:
        intermediate_size: width of the inner layer.
        num_heads: query heads.
        adapter_scale: of the draft adapter's branch; 0 without an adapter.
        tensors: by name: `embedding`, `head`, `final_norm`, perhaps `mask_embedding`, and for each layer
            `<layer>.<name>` with the names of `LAYER`, and of `ADAPTER` where the checkpoint has a draft adapter. Those
            of a tower have the names of `TOWER`, and `vision.<layer>.<name>` with the names of `TOWER_LAYER`.
        vision: None where the checkpoint reads text alone.
    """

    intermediate_size: int
    num_heads: int
    norm_epsilon: float
    positions: Positions
    adapter_scale: float
    tensors: Mapping[str, StoredTensor]
    vision: TowerSizes | None = None

    def to_json(self) -> bytes:
        """Return the bytes of the file."""
        tensors = {name: dataclasses.asdict(tensor) for name, tensor in self.tensors.items()}
        facts = {**dataclasses.asdict(dataclasses.replace(self, tensors={})), "tensors": tensors}
        return (json.dumps({"version": VERSION, **facts}, indent=1) + "\n").encode()

    @classmethod
    def load(cls, folder: Path) -> TensorIndex:
        """Read `folder`/tensors.json.

        Raises:
            BundleError: missing, unreadable, or of another version.
        """
        path = folder / TENSORS
        try:
            raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if (found := raw.pop("version")) != VERSION:
                raise BundleError(f"{path} has version {found!r}, this version reads {VERSION}. {rebuild_hint(folder)}")
            positions = raw.pop("positions")
            frequencies = tuple(float(one) for one in positions.pop("frequencies"))
            vision = None if (sizes := raw.pop("vision", None)) is None else TowerSizes(**sizes)
            tensors = {
                name: StoredTensor(**{**entry, "shape": tuple(entry["shape"])})
                for name, entry in raw.pop("tensors").items()
            }
            return cls(positions=Positions(frequencies=frequencies, **positions), tensors=tensors, vision=vision, **raw)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            raise BundleError(f"{path} cannot be read: {exc!r}. {rebuild_hint(folder)}") from exc


LAYER = {
    "input_norm": "input_layernorm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "post_norm": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
"""A layer's tensors: the name in tensors.json, and the one in a checkpoint of the official layout."""
ADAPTER = ("lora_a", "lora_b")
"""The draft adapter's tensors of a layer: (rank, query width), and (hidden, rank) without the scale."""
TOWER = {
    "vision.patches": "encoder.vision_tower.patch_conv",
    "vision.first_norm": "encoder.vision_tower.ln_pre",
    "vision.projector_norm": "encoder.multi_modal_projector.norm",
    "vision.merging": "encoder.multi_modal_projector.patch_merger.merging_layer",
    "vision.widening": "encoder.multi_modal_projector.linear_1",
    "vision.last": "encoder.multi_modal_projector.linear_2",
}
"""The tensors of a tower and its projector: the name in tensors.json, and the one in a checkpoint."""
TOWER_LAYER = {
    "input_norm": "attention_norm",
    "q": "attention.q_proj",
    "k": "attention.k_proj",
    "v": "attention.v_proj",
    "o": "attention.o_proj",
    "post_norm": "ffn_norm",
    "gate": "feed_forward.gate_proj",
    "up": "feed_forward.up_proj",
    "down": "feed_forward.down_proj",
}
"""The tensors of a tower's layer, likewise."""

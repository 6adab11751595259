"""VisionConfig: the tower and the projector of a checkpoint that reads pictures: sizes, tensors and their shapes.

Sources: PixtralVisionModel and Mistral3MultiModalProjector of transformers, whose layout the vision-language checkpoint
of the family is said to have; its own files could not be seen. Reads config.json only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .keys import Keys

TOWER = "encoder.vision_tower"
PROJECTOR = "encoder.multi_modal_projector"
PATCHES = f"{TOWER}.patch_conv.weight"
FIRST_NORM = f"{TOWER}.ln_pre.weight"
PROJECTOR_NORM = f"{PROJECTOR}.norm.weight"
MERGING = f"{PROJECTOR}.patch_merger.merging_layer.weight"
WIDENING, LAST = f"{PROJECTOR}.linear_1.weight", f"{PROJECTOR}.linear_2.weight"
CHANNELS = 3  # of a picture
MOST_SIDE = 1024  # patches of a side, far beyond every model: the table of rotations has a row for each place
DEFAULT_MERGE = 2  # patches of a cell's side, where config.json does not say it
NORM_EPSILON = 1e-5  # of the tower's norms, a constant of its class
IMAGE_IDS = (18, 19, 20, 21)  # before a picture, of a cell, after a row of cells, after it: constants of the family
# Keys that may be missing, each with the only value that the graph implements.
MUST_BE: dict[str, Any] = {
    "multimodal_projector_bias": False,
    "projector_hidden_act": "gelu",
    "vision_feature_layer": -1,
}
TOWER_MUST_BE: dict[str, Any] = {"model_type": "pixtral", "hidden_act": "silu", "num_channels": CHANNELS}


@dataclass(frozen=True)
class VisionConfig:
    """The tower's dimensions. Patches are squares of pixels, cells squares of patches; `side` patches are the most."""

    hidden_size: int
    num_layers: int
    intermediate_size: int
    num_heads: int
    theta: float
    patch: int
    merge: int
    side: int

    @classmethod
    def read(cls, keys: Keys) -> VisionConfig:
        """Read the tower's part of config.json.

        Raises:
            CheckpointError: a key is missing, or has a value that the graph does not implement.
        """
        raw = keys.get("vision_config")
        if not isinstance(raw, dict):
            raise keys.error("vision_config", "an object", raw)
        tower = Keys(keys.path, raw, "vision_config.")
        for where, allowed in ((keys, MUST_BE), (tower, TOWER_MUST_BE)):
            for name, value in allowed.items():
                if where.values.get(name, value) != value:
                    raise where.error(name, repr(value), where.values[name])
        patch = tower.count("patch_size")
        config = cls(
            hidden_size=tower.count("hidden_size"),
            num_layers=tower.count("num_hidden_layers"),
            intermediate_size=tower.count("intermediate_size"),
            num_heads=tower.count("num_attention_heads"),
            theta=_theta(tower),
            patch=patch,
            merge=keys.count("spatial_merge_size") if "spatial_merge_size" in keys.values else DEFAULT_MERGE,
            side=tower.count("image_size") // patch,
        )
        config._check(keys, tower)
        return config

    def _check(self, keys: Keys, tower: Keys) -> None:
        if self.hidden_size % self.num_heads:
            raise tower.error("hidden_size", f"a multiple of {self.num_heads} (heads)", self.hidden_size)
        if self.head_dim % 4:
            raise tower.error("num_attention_heads", "heads of a multiple of 4 channels", self.num_heads)
        if "head_dim" in tower.values and tower.count("head_dim") != self.head_dim:
            raise tower.error("head_dim", f"{self.head_dim} (hidden_size / heads)", tower.values["head_dim"])
        if not self.merge <= self.side <= MOST_SIDE:
            limit = f"{self.merge} to {MOST_SIDE} patches of {self.patch} pixels"
            raise tower.error("image_size", limit, tower.values["image_size"])
        if max(IMAGE_IDS) >= (vocab := keys.count("vocab_size")):
            raise keys.error("vocab_size", f"more than {max(IMAGE_IDS)}, the ids of pictures", vocab)

    @property
    def head_dim(self) -> int:
        """Channels of a head."""
        return self.hidden_size // self.num_heads

    @property
    def patch_width(self) -> int:
        """Values of a patch."""
        return CHANNELS * self.patch**2

    def shapes(self, text_hidden: int) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor: 9 per layer and 2 more of the tower, 4 of the projector."""
        size = self.hidden_size
        found: dict[str, tuple[int, ...]] = {
            PATCHES: (size, CHANNELS, self.patch, self.patch),
            FIRST_NORM: (size,),
            PROJECTOR_NORM: (size,),
            MERGING: (size, size * self.merge**2),
            WIDENING: (text_hidden, size),
            LAST: (text_hidden, text_hidden),
        }
        for layer in range(self.num_layers):
            found |= {tower_name(layer, name): shape for name, shape in self._layer_shapes().items()}
        return found

    def _layer_shapes(self) -> dict[str, tuple[int, ...]]:
        size, inner = self.hidden_size, self.intermediate_size
        return {
            "attention_norm": (size,),
            "ffn_norm": (size,),
            **{f"attention.{kind}_proj": (size, size) for kind in "qkvo"},
            "feed_forward.gate_proj": (inner, size),
            "feed_forward.up_proj": (inner, size),
            "feed_forward.down_proj": (size, inner),
        }


def tower_name(layer: int, name: str) -> str:
    """Return the name of a layer's tensor, such as "attention.q_proj"."""
    return f"{TOWER}.transformer.layers.{layer}.{name}.weight"


def _theta(tower: Keys) -> float:
    """Return the base of the rotation's angles; it stands in an object of its own, or, in older files, beside it."""
    found = tower.values.get("rope_parameters")
    if found is None:
        return tower.number("rope_theta")
    if not isinstance(found, dict):
        raise tower.error("rope_parameters", "an object", found)
    rope = Keys(tower.path, found, f"{tower.prefix}rope_parameters.")
    if (kind := found.get("rope_type", "default")) != "default":
        raise rope.error("rope_type", "'default'", kind)
    return rope.number("rope_theta")

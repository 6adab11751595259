"""What a plan must look like by the manifest: its tensors' names, types and shapes, and the sizes of its profiles.

There are two forms, the language model's and the tower's. Knows TensorRT's names of types and nothing else of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ...bundle.compilation import Range
from ...bundle.manifest import PLAN, TOWER_PLAN, Manifest

Sizes = tuple[int, ...]
INTEGERS = ("INT64", "INT32")
CACHE_BYTES = {"FLOAT": 4, "HALF": 2, "BF16": 2}
"""Bytes of one number of the cache, by TensorRT's name of its type."""
INPUTS = {
    "input_ids": INTEGERS,
    "position_ids": INTEGERS,
    "logit_rows": INTEGERS,
    "write_indices": INTEGERS,
    "attn_mask": ("BOOL",),
}
OUTPUTS = {"top_id": INTEGERS, "top_prob": ("FLOAT",), "logits": ("FLOAT",)}
PICTURE_INPUTS = {"image_rows": ("FLOAT",), "image_index": INTEGERS}
"""Those that the language model's plan has too, where the checkpoint reads pictures."""
TOWER_INPUTS = {"patches": ("FLOAT",), "positions": INTEGERS, "pictures": INTEGERS}
TOWER_OUTPUTS = {"features": ("FLOAT",)}


@dataclass(frozen=True)
class PlanForm:
    """A plan as the manifest describes it.

    Attributes:
        file: in the bundle.
        kernels: how the file ends that keeps compiled kernels beside the bundle.
        inputs, outputs: name -> the types that it may have.
        caches: name of each cache -> shape; they are inputs as `past_…`, and outputs that are written in their place.
        shapes: name of each other tensor -> shape; -1 stands for any size.
        profiles: for each its name, and of some inputs the smallest, tuned and largest shape.
    """

    file: str
    kernels: str
    inputs: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, tuple[str, ...]]
    caches: Mapping[str, Sizes]
    shapes: Mapping[str, Sizes]
    profiles: tuple[tuple[str, Mapping[str, list[Sizes]]], ...]

    @classmethod
    def of_text(cls, manifest: Manifest) -> Self:
        """Return the form of the language model's plan."""
        assert manifest.compiled is not None
        inputs = dict(INPUTS)
        shapes: dict[str, Sizes] = {name: (-1, -1) for name in ("input_ids", "position_ids", "logit_rows")}
        shapes |= {"write_indices": (-1,), "attn_mask": (-1, 1, -1, -1), "logits": (-1, -1, manifest.vocab_size)}
        shapes |= {"top_id": (-1, -1), "top_prob": (-1, -1)}
        if manifest.adapter:
            inputs["lora_scale"], shapes["lora_scale"] = ("FLOAT",), (-1, -1)
        if manifest.vision is not None:
            inputs |= PICTURE_INPUTS
            shapes |= {"image_rows": (-1, manifest.hidden_size), "image_index": (-1, -1)}
        profiles = []
        for one in manifest.compiled.profiles:
            batch, seq, length = one.batch, one.seq, one.length
            ranges: dict[str, list[Sizes]] = {
                "attn_mask": [(b, 1, s, most) for b, s, most in zip(batch, seq, length, strict=True)]
            }
            if manifest.vision is not None:
                ranges["image_rows"] = [(rows, manifest.hidden_size) for rows in one.images]
            profiles.append((one.name, ranges))
        cache = (-1, manifest.num_kv_heads, manifest.capacity, manifest.head_dim)
        kinds = ("past_key", "past_value", "present_key", "present_value")
        caches = {f"{kind}.{layer}": cache for layer in range(manifest.num_layers) for kind in kinds}
        return cls(PLAN, "kernels", inputs, OUTPUTS, caches, shapes, tuple(profiles))

    @classmethod
    def of_tower(cls, manifest: Manifest) -> Self:
        """Return the form of the plan of a bundle's tower, which there must be."""
        assert manifest.compiled is not None and manifest.vision is not None
        width = manifest.vision.patch_width
        shapes: dict[str, Sizes] = {"patches": (-1, width), "positions": (-1,), "pictures": (-1,)}
        shapes["features"] = (-1, manifest.hidden_size)
        profiles = tuple((_named(one), _tower_ranges(one, width)) for one in manifest.compiled.patches)
        return cls(TOWER_PLAN, "vision.kernels", TOWER_INPUTS, TOWER_OUTPUTS, {}, shapes, profiles)


def _named(patches: Range) -> str:
    return f"of {patches[2]} patches"


def _tower_ranges(patches: Range, width: int) -> dict[str, list[Sizes]]:
    return {"patches": [(count, width) for count in patches], "pictures": [(count,) for count in patches]}

"""How much GPU memory a TensorRT engine needs in addition to its plan, and the refusal where there is less.

Knows the sizes of buffers and cache. Allocates nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...bundle.compilation import QUADRATIC
from ...bundle.kv_memory import kv_bytes
from ...bundle.manifest import PLAN, TOWER_PLAN, Manifest, rebuild_hint
from ...errors import BundleError
from ..options import MaxSlots
from ..slot_memory import GB, Memory, fit, gb
from .layout import ALIGNMENT, Shape, Types, choices, inputs, tower_inputs

RESERVE = GB // 2
"""Bytes for what TensorRT keeps with every context and CUDA with every graph: an allowance, not measured."""


@dataclass(frozen=True)
class Need:
    """Bytes that an engine needs.

    Attributes:
        slot: keys and values of one slot at full capacity.
        kept: logits of one slot that are set aside: a block's; the more that a quadratic pass has go to the host.
        workspace, inputs, choices, logits: allocated once, whatever the number of slots.
        tower: of the tower, which is opened after the engine; 0 where the checkpoint reads text alone.
    """

    slot: int
    kept: int
    workspace: int
    inputs: int
    choices: int
    logits: int
    tower: int = 0

    @classmethod
    def of(cls, manifest: Manifest, types: Types, *, cache_bytes: int, workspace: int, tower: int = 0) -> Need:
        """Return what the largest call of the manifest's profiles needs.

        Args:
            types: numpy's type of each input and output that is not a cache.
            cache_bytes: of one number of the cache.
            workspace: what the plan says a context needs.
            tower: all that the tower needs, its plan included.
        """
        assert manifest.compiled is not None
        profiles = manifest.compiled.profiles
        shapes = [
            Shape(
                number,
                first=0,
                batch=profile.batch[2],
                seq=profile.seq[2],
                rows=profile.rows[2],
                length=profile.length[2],
                images=0 if manifest.vision is None else profile.images[2],
            )
            for number, profile in enumerate(profiles)
        ]
        return cls(
            slot=kv_bytes(manifest, manifest.capacity, cache_bytes),
            kept=max(one.rows[2] for one in profiles if one.name != QUADRATIC) * manifest.vocab_size * 4,
            workspace=max(workspace, ALIGNMENT),
            inputs=max(inputs(shape, types, manifest.hidden_size).size for shape in shapes),
            choices=max(choices(shape, types).size for shape in shapes),
            logits=max(max(shape.batch * shape.rows * manifest.vocab_size * 4 for shape in shapes), ALIGNMENT),
            tower=tower,
        )

    @property
    def once(self) -> int:
        """Bytes that do not depend on the number of slots."""
        return self.workspace + self.inputs + self.choices + self.logits + self.tower + RESERVE


@dataclass(frozen=True)
class TowerNeed:
    """Bytes that a tower needs beside its plan: for a pass, and for the largest inputs and features of one."""

    workspace: int
    inputs: int
    features: int

    @classmethod
    def of(cls, manifest: Manifest, types: Types, workspace: int) -> TowerNeed:
        """Return what a pass of the manifest's most patches needs; `workspace` is what the plan says of a context."""
        assert manifest.compiled is not None and manifest.vision is not None
        most = max(one[2] for one in manifest.compiled.patches)
        cells = most // manifest.vision.merge**2
        given = tower_inputs(most, manifest.vision.patch_width, types).size
        return cls(max(workspace, ALIGNMENT), given, cells * manifest.hidden_size * 4)

    @property
    def total(self) -> int:
        """All of them."""
        return self.workspace + self.inputs + self.features


def check_plan(bundle: Path, manifest: Manifest, memory: tuple[int, int]) -> None:
    """Refuse plans that are larger than the device's free memory, before they are loaded.

    Args:
        memory: the device's free bytes, and all its bytes.

    Raises:
        BundleError: names both sizes.
    """
    free, total = memory
    sizes = {name: manifest.files[name] for name in (PLAN, TOWER_PLAN) if name in manifest.files}
    size, plans = sum(sizes.values()), " with ".join([str(bundle / PLAN), *list(sizes)[1:]])
    if size > free:
        raise BundleError(
            f"GPU memory: {plans} holds {gb(size)}, but {gb(free)} of {gb(total)} are free. Stop other "
            f"programs that use this GPU, or choose a smaller precision. {rebuild_hint(bundle, manifest)}"
        )


def slots_of(bundle: Path, manifest: Manifest, need: Need, asked: MaxSlots, memory: tuple[int, int]) -> int:
    """Return how many slots an engine has that has loaded its plan.

    "auto" takes no more than a call has rows, since a step of more of them is two calls, and weights are read for each.

    Args:
        memory: the device's free bytes, and all its bytes.

    Raises:
        BundleError: they do not fit; names what was asked, what each part needs, what is free and how many slots would
            fit. Or the lanes of the cache would not be aligned.
    """
    assert manifest.compiled is not None
    free, total = memory
    lane = need.slot // (2 * manifest.num_layers)
    if lane % ALIGNMENT:
        raise BundleError(
            f"capacity: a sequence's keys of one layer must be a multiple of {ALIGNMENT} bytes, as TensorRT demands of "
            f"addresses, got {lane} with capacity {manifest.capacity}. Round the capacity up. "
            f"{rebuild_hint(bundle, manifest)}"
        )
    each = need.slot + need.kept
    slots, todo = fit(asked, each, need.once, Memory(free, total), most=manifest.compiled.rows)
    if todo is not None:
        pictures = f"pictures {gb(need.tower)}, " if need.tower else ""
        raise BundleError(
            f"GPU memory: max_slots {asked} needs {gb(slots * need.slot)} for keys and values ({gb(need.slot)} each, "
            f"capacity {manifest.capacity}), {gb(slots * need.kept)} for their logits and {gb(need.once)} for the "
            f"rest (workspace {gb(need.workspace)}, logits {gb(need.logits)}, {pictures}reserve {gb(RESERVE)}); with "
            f"the plan loaded, {gb(free)} of {gb(total)} are free. {todo}, or choose a smaller capacity. "
            f"{rebuild_hint(bundle, manifest)}"
        )
    return slots

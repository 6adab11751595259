"""How much GPU memory a TensorRT engine needs in addition to its plan, and the refusal where there is less.

Knows the sizes of buffers and cache. Allocates nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...bundle.compilation import QUADRATIC
from ...bundle.manifest import PLAN, Manifest, rebuild_hint
from ...errors import BundleError
from ..slot_memory import GB, advice, gb
from .layout import ALIGNMENT, Shape, Types, choices, inputs

RESERVE = GB // 2
"""Bytes for what TensorRT keeps with every context and CUDA with every graph: an allowance, not measured."""


@dataclass(frozen=True)
class Need:
    """Bytes that an engine needs.

    Attributes:
        slot: keys and values of one slot at full capacity.
        kept: logits of one slot that are set aside: a block's; the more that a quadratic pass has go to the host.
        workspace, inputs, choices, logits: allocated once, whatever the number of slots.
    """

    slot: int
    kept: int
    workspace: int
    inputs: int
    choices: int
    logits: int

    @classmethod
    def of(cls, manifest: Manifest, types: Types, *, cache_bytes: int, workspace: int) -> Need:
        """Return what the largest call of the manifest's profiles needs.

        Args:
            types: numpy's type of each input and output that is not a cache.
            cache_bytes: of one number of the cache.
            workspace: what the plan says a context needs.
        """
        assert manifest.compiled is not None
        profiles = manifest.compiled.profiles
        shapes = [
            Shape(number, 0, profile.batch[2], profile.seq[2], profile.rows[2], profile.length[2])
            for number, profile in enumerate(profiles)
        ]
        plane = manifest.num_kv_heads * manifest.capacity * manifest.head_dim * cache_bytes
        return cls(
            slot=2 * manifest.num_layers * plane,
            kept=max(one.rows[2] for one in profiles if one.name != QUADRATIC) * manifest.vocab_size * 4,
            workspace=max(workspace, ALIGNMENT),
            inputs=max(inputs(shape, types).size for shape in shapes),
            choices=max(choices(shape, types).size for shape in shapes),
            logits=max(max(shape.batch * shape.rows * manifest.vocab_size * 4 for shape in shapes), ALIGNMENT),
        )

    @property
    def once(self) -> int:
        """Bytes that do not depend on the number of slots."""
        return self.workspace + self.inputs + self.choices + self.logits + RESERVE


def check_plan(bundle: Path, manifest: Manifest, memory: tuple[int, int]) -> None:
    """Refuse a plan that is larger than the device's free memory, before it is loaded.

    Args:
        memory: the device's free bytes, and all its bytes.

    Raises:
        BundleError: names both sizes.
    """
    free, total = memory
    size = manifest.files[PLAN]
    if size > free:
        raise BundleError(
            f"GPU memory: {bundle / PLAN} holds {gb(size)}, but {gb(free)} of {gb(total)} are free. Stop other "
            f"programs that use this GPU, or choose a smaller precision. {rebuild_hint(bundle, manifest)}"
        )


def check_slots(bundle: Path, manifest: Manifest, need: Need, slots: int, memory: tuple[int, int]) -> None:
    """Refuse more slots than fit after the plan is loaded, and a cache whose lanes would not be aligned.

    Args:
        memory: the device's free bytes, and all its bytes.

    Raises:
        BundleError: names what was asked, what each part needs, what is free and how many slots would fit.
    """
    free, total = memory
    lane = need.slot // (2 * manifest.num_layers)
    if lane % ALIGNMENT:
        raise BundleError(
            f"capacity: a sequence's keys of one layer must be a multiple of {ALIGNMENT} bytes, as TensorRT demands of "
            f"addresses, got {lane} with capacity {manifest.capacity}. Round the capacity up. "
            f"{rebuild_hint(bundle, manifest)}"
        )
    each = need.slot + need.kept
    if (todo := advice(slots, each, need.once, free)) is not None:
        raise BundleError(
            f"GPU memory: max_slots {slots} needs {gb(slots * need.slot)} for keys and values ({gb(need.slot)} each, "
            f"capacity {manifest.capacity}), {gb(slots * need.kept)} for their logits and {gb(need.once)} for the "
            f"rest (workspace {gb(need.workspace)}, logits {gb(need.logits)}, reserve {gb(RESERVE)}); with the "
            f"plan loaded, {gb(free)} of {gb(total)} are free. {todo}, or choose a smaller capacity. "
            f"{rebuild_hint(bundle, manifest)}"
        )

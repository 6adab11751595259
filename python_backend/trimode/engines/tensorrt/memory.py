"""What a TensorRT engine takes of a GPU's memory beside the plan, and the refusal, with figures, where it is not there.

Knows the sizes of buffers and cache. Allocates nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...bundle.manifest import PLAN, Manifest, rebuild_hint
from ...errors import BundleError
from .call import ALIGNMENT, Shape, Types, choices, inputs

GB = 10**9
RESERVE = GB // 2
"""For what TensorRT keeps with every context and CUDA with every graph: an allowance, not measured."""


@dataclass(frozen=True)
class Need:
    """Bytes: one slot's keys and values at full capacity and its rows of logits, and what is there once for all."""

    slot: int
    kept: int
    workspace: int
    inputs: int
    choices: int
    logits: int

    @classmethod
    def of(cls, manifest: Manifest, types: Types, *, cache_bytes: int, workspace: int) -> Need:
        """Return what the largest call of the manifest's profiles takes.

        Args:
            types: numpy's type of each input and output beside the cache.
            cache_bytes: of one number of the cache.
            workspace: what the plan says a context needs.
        """
        assert manifest.compiled is not None
        shapes = [
            Shape(number, 0, profile.batch[2], profile.seq[2], profile.rows[2], profile.length[2])
            for number, profile in enumerate(manifest.compiled.profiles)
        ]
        plane = manifest.num_kv_heads * manifest.capacity * manifest.head_dim * cache_bytes
        return cls(
            slot=2 * manifest.num_layers * plane,
            kept=max(shape.rows for shape in shapes) * manifest.vocab_size * 4,
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
    """Refuse a plan that is larger than what is free of the device's memory, before it is loaded.

    Args:
        memory: the device's free bytes, and all of them.

    Raises:
        BundleError: names both sizes.
    """
    free, total = memory
    size = manifest.files[PLAN]
    if size > free:
        raise BundleError(
            f"GPU memory: {bundle / PLAN} holds {_gb(size)}, free are {_gb(free)} of {_gb(total)}. Stop what else "
            f"uses this GPU, or choose a smaller precision. {rebuild_hint(bundle, manifest)}"
        )


def check_slots(bundle: Path, manifest: Manifest, need: Need, slots: int, memory: tuple[int, int]) -> None:
    """Refuse more slots than fit beside the loaded plan, and a cache whose lanes would not be aligned.

    Raises:
        BundleError: names what was asked, what it takes part by part, what is free and how many slots would fit.
    """
    free, total = memory
    lane = need.slot // (2 * manifest.num_layers)
    if lane % ALIGNMENT:
        raise BundleError(
            f"capacity: a sequence's keys of one layer must be a multiple of {ALIGNMENT} bytes, which TensorRT asks of "
            f"addresses, got {lane} with capacity {manifest.capacity}. {rebuild_hint(bundle, manifest)} rounded up"
        )
    each = need.slot + need.kept
    if slots * each + need.once > free:
        fit = max(0, free - need.once) // each
        advice = f"Lower max_slots (TRIMODE_MAX_SLOTS) to {fit}" if fit else "Not one fits"
        raise BundleError(
            f"GPU memory: max_slots {slots} needs {_gb(slots * need.slot)} for keys and values ({_gb(need.slot)} each, "
            f"capacity {manifest.capacity}), {_gb(slots * need.kept)} for their logits and {_gb(need.once)} beside "
            f"(workspace {_gb(need.workspace)}, logits {_gb(need.logits)}, reserve {_gb(RESERVE)}); beside the plan's "
            f"weights free are {_gb(free)} of {_gb(total)}. {advice}, or choose a smaller capacity. "
            f"{rebuild_hint(bundle, manifest)}"
        )


def _gb(size: int) -> str:
    return f"{size / GB:.2f} GB"

"""The tower on a GPU: a plan of its own, with a stream of its own, so that it does not wait for the language model.

Its features come back to the host, where pictures are kept. Ties together plan, memory and patches. Knows no function
of CUDA or of TensorRT. Executed against fakes only, never by TensorRT.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from ...bundle.manifest import TOWER_PLAN, Manifest, rebuild_hint
from ...errors import BundleError, DeviceLostError, EngineError
from ..base import Floats
from ..patches import Patches, cut
from ..slot_memory import gb
from .cuda import Cuda
from .forms import PlanForm
from .layout import tower_inputs
from .memory import TowerNeed
from .plan import Plan, TensorRt

PATCHES_STEP = 256
"""Patches of a pass are rounded up to a multiple of this, so that few shapes occur: TensorRT works each out again, and
TensorRT-RTX compiles kernels for it. So few more take no longer, as weights are read for each pass."""


class TensorRtTower:
    """Implements `tower.Tower`. A context for each profile; they run one at a time, in one workspace."""

    def __init__(self, cuda: Cuda, plan: Plan, need: TowerNeed, manifest: Manifest) -> None:
        """Allocate everything that a pass needs.

        Raises:
            EngineError: a CUDA or TensorRT call failed.
        """
        assert manifest.compiled is not None and manifest.vision is not None
        self._cuda, self._plan, self._facts = cuda, plan, manifest.vision
        self._profiles, self._hidden_size = manifest.compiled.patches, manifest.hidden_size
        self._inputs, self._features = cuda.allocate(need.inputs), cuda.allocate(need.features)
        self._host_inputs, self._host_features = cuda.pin(need.inputs), cuda.pin(need.features)
        workspace = cuda.allocate(need.workspace)
        self._contexts = [plan.context(number, cuda.stream, workspace) for number in range(len(self._profiles))]
        cuda.wait()

    @classmethod
    def open(cls, bundle: Path, *, threads: int, device: int = 0, on_gpu: bool = False) -> Self:
        """Load the tower of a bundle that has one on GPU number `device`; the rest has no effect.

        Raises:
            BundleError: as where an engine is opened; or the bundle has no tower.
        """
        del threads, on_gpu
        manifest = Manifest.load(bundle)
        if manifest.vision is None or manifest.compiled is None:
            raise BundleError(f"{bundle} holds no {TOWER_PLAN}. {rebuild_hint(bundle, manifest)}")
        tensorrt = TensorRt.load(manifest.compiled.flavour, bundle, manifest.compiled.version)
        plan: Plan | None = None
        cuda: Cuda | None = None
        try:
            cuda = Cuda.open(device)
            plan = Plan.load(tensorrt, bundle, manifest, PlanForm.of_tower(manifest))
            need = TowerNeed.of(manifest, plan.host_types, plan.workspace)
            free, total = cuda.memory()
            if need.total > free:
                raise BundleError(
                    f"GPU memory: {bundle / TOWER_PLAN} needs {gb(need.total)} to encode pictures, {gb(free)} of "
                    f"{gb(total)} are free. Lower max_slots (TRIMODE_MAX_SLOTS), or stop other programs that use it"
                )
            return cls(cuda, plan, need, manifest)
        except BaseException as exc:
            if plan is not None:
                plan.close()
            if cuda is not None:
                cuda.close()
            if isinstance(exc, EngineError):
                raise BundleError(f"{bundle}: {exc}. {rebuild_hint(bundle, manifest)}") from exc
            raise

    def encode(self, pictures: Sequence[Floats]) -> list[Floats]:
        """Return the rows that stand for each picture; see `tower.Tower`.

        Small pictures share a pass up to what the first profile holds; a larger one has its own.
        """
        self._cuda.use()
        found = list[Floats]()
        for group in self._groups(pictures):
            found += self._pass(cut(group, self._facts))
        return found

    def close(self) -> None:
        """Release contexts, plan and memory, in this order. A second call does nothing."""
        if self._cuda.closed:
            return
        self._contexts.clear()
        self._plan.close()
        self._cuda.close()

    def _groups(self, pictures: Sequence[Floats]) -> list[list[Floats]]:
        """Return the pictures of each pass, in order."""
        groups, room = list[list[Floats]](), 0
        for one in pictures:
            size = one.shape[1] * one.shape[2] // self._facts.patch**2
            if size > room:
                groups.append([])
                room = self._profiles[0][2]
            groups[-1].append(one)
            room -= size
        return groups

    def _pass(self, patches: Patches) -> list[Floats]:
        """Encode pictures in one pass, padded by a picture of nothing, which no other sees."""
        count, facts = len(patches.values), self._facts
        number = next((at for at, one in enumerate(self._profiles) if count <= one[2]), None)
        if number is None:
            limit = f"the plan's largest profile holds {self._profiles[-1][2]}"
            raise EngineError(f"a pass over {count} patches of pictures: {limit}")
        cell = facts.merge**2
        step = max(PATCHES_STEP // cell, 1) * cell
        size = min(-(-count // step) * step, self._profiles[number][2])
        types = self._plan.host_types
        layout = tower_inputs(size, facts.patch_width, types)
        for name, values in layout.views(self._host_inputs, types).items():
            given = {"patches": patches.values, "positions": patches.positions, "pictures": patches.numbers}[name]
            values[:count] = given
            values[count:] = len(patches.starts) if name == "pictures" else 0
        shapes = {name: sizes for name, (_, sizes) in layout.tensors.items()}
        addresses = {name: self._inputs + offset for name, (offset, _) in layout.tensors.items()}
        given_bytes = count // cell * self._hidden_size * 4
        cuda, context = self._cuda, self._contexts[number]
        try:
            context.bind(shapes, {**addresses, "features": self._features})
            cuda.upload(self._inputs, self._host_inputs.ctypes.data, layout.size)
            context.enqueue(cuda.stream)
            cuda.download(self._host_features.ctypes.data, self._features, given_bytes)
        except DeviceLostError:
            raise
        except EngineError:
            cuda.wait()  # TensorRT does not say why it refuses a pass: CUDA does, where the GPU is lost
            raise
        cuda.wait()
        rows = self._host_features[:given_bytes].view(np.float32).reshape(-1, self._hidden_size)
        return patches.split(rows, facts.merge)


def tower_bytes(tensorrt: TensorRt, bundle: Path, manifest: Manifest) -> int:
    """Return the bytes of GPU memory that a bundle's tower will take, of which its plan alone says how many.

    So the plan is loaded on the current device and released: an engine that takes what is free must leave them.

    Raises:
        BundleError: TensorRT cannot read the plan, or it is not the one that the manifest describes.
    """
    plan = Plan.load(tensorrt, bundle, manifest, PlanForm.of_tower(manifest))
    try:
        return manifest.files[TOWER_PLAN] + TowerNeed.of(manifest, plan.host_types, plan.workspace).total
    finally:
        plan.close()

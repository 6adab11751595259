"""Puts the fake CUDA and the fake TensorRT where the engine finds them, and makes bundles whose plan they can run."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from trimode.bundle import digests
from trimode.bundle.compilation import Compilation
from trimode.bundle.manifest import GRAPH, PLAN, TOWER_GRAPH, TOWER_PLAN, Manifest
from trimode.engines.options import MaxSlots
from trimode.engines.tensorrt.cuda import BINDINGS
from trimode.engines.tensorrt.engine import TensorRtEngine
from trimode.engines.tensorrt.tower import TensorRtTower
from trimode_convert.bundle.onnx_bundle import BundleOptions, make_draft, write_bundle
from trimode_convert.bundle.tensorrt_bundle import EXPORTED_FILES
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.graph.precisions import TENSORRT
from trimode_convert.tensorrt.profiles import Shapes, tower_patches

from tests.support.fake_cuda import FakeCuda
from tests.support.fake_tensorrt import FakeTensorRt, write_plan

BATCH, CHUNK = 4, 64
Opened = TypeVar("Opened", TensorRtEngine, TensorRtTower)


def make_bundle(
    checkpoint: Path, out: Path, *, capacity: int = 256, precision: str = "float32", quadratic: int = 0
) -> Path:
    """Write a TensorRT bundle of a checkpoint, the graphs beside it in float32 (or float16).

    Its plan is as those of before there was a profile of quadratic passes, unless `quadratic` is the longest draft.
    """
    graph, folder = out / "graph", out / "bundle"
    with Checkpoint.open(checkpoint) as opened:
        draft = make_draft(opened, BundleOptions(precision, capacity, target=TENSORRT))
        write_bundle(draft, graph)
        shapes = Shapes.of(opened.config, capacity, BATCH, CHUNK, quadratic)
        patches = () if opened.config.vision is None else tower_patches(opened.config.vision)
    folder.mkdir()
    profiles = shapes.profiles()
    write_plan(folder / PLAN, graph / GRAPH, [dataclasses.asdict(profile) for profile in profiles])
    files = {name: size for name, size in draft.manifest.files.items() if name not in EXPORTED_FILES}
    for name in files:
        (folder / name).write_bytes((graph / name).read_bytes())
    compiled = Compilation("tensorrt_rtx", "1.7.1.116", ("8.6", "8.9"), profiles, patches=patches)
    files[PLAN] = (folder / PLAN).stat().st_size
    if patches:
        write_plan(folder / TOWER_PLAN, graph / TOWER_GRAPH, [{"patches": list(one)} for one in patches])
        files[TOWER_PLAN] = (folder / TOWER_PLAN).stat().st_size
    dataclasses.replace(draft.manifest, compiled=compiled, files=files).save(folder)
    digests.write(folder)
    return folder


def edit(bundle: Path, **changes: Any) -> None:
    """Change a bundle's manifest."""
    dataclasses.replace(Manifest.load(bundle), **changes).save(bundle)
    digests.write(bundle)


def install(patch: pytest.MonkeyPatch, cuda: FakeCuda, version: str = "1.7.1.116") -> FakeTensorRt:
    """Have the engine find the fakes."""
    tensorrt = FakeTensorRt(cuda, version)
    patch.setitem(sys.modules, BINDINGS, cuda)
    patch.setitem(sys.modules, "tensorrt_rtx", tensorrt)
    return tensorrt


def open_engine(bundle: Path, max_slots: MaxSlots = 4, device: int = 0) -> TensorRtEngine:
    return TensorRtEngine.open(bundle, threads=1, spin=False, max_slots=max_slots, device=device)


def open_tower(bundle: Path, device: int = 0) -> TensorRtTower:
    return TensorRtTower.open(bundle, threads=1, device=device)


@contextmanager
def used(cuda: FakeCuda, opened: Opened) -> Iterator[Opened]:
    """Count calls from here on; close what was opened at the end, when nothing may be left of it."""
    cuda.calls.clear()
    cuda.copied.clear()
    yield opened
    cuda.failing.clear()
    opened.close()
    assert cuda.leaked == []

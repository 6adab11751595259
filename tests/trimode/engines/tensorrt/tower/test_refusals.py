"""Bundles whose tower cannot be opened, and what is said then."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from cuda.bindings import runtime as cudart
from trimode.bundle.manifest import PLAN, TOWER_PLAN, Manifest
from trimode.errors import BundleError

from tests.support import checkpoints as factory
from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import edit, install, make_bundle, open_engine, open_tower
from tests.support.fake_tensorrt import write_plan


def rewrite(bundle: Path, profiles: list[dict[str, Any]], graph: Path | None = None) -> None:
    found = Path(json.loads((bundle / TOWER_PLAN).read_text())["graph"])
    write_plan(bundle / TOWER_PLAN, graph or found, profiles)
    raw = json.loads((bundle / "manifest.json").read_text())
    raw["files"][TOWER_PLAN] = (bundle / TOWER_PLAN).stat().st_size
    (bundle / "manifest.json").write_text(json.dumps(raw))


def refusal(gpu: FakeCuda, bundle: Path) -> str:
    with pytest.raises(BundleError) as caught:
        open_engine(bundle)
    with pytest.raises(BundleError) as again:
        open_tower(bundle)
    assert gpu.leaked == []
    assert str(caught.value) == str(again.value)
    return str(caught.value)


def test_a_plan_of_other_profiles(gpu: FakeCuda, own: Path) -> None:
    """Both the engine, before it takes memory, and the tower say so."""
    rewrite(own, [{"patches": [4, 4, 64]}])
    assert "profile of 100 patches: the plan's patches has [(4, 588), (4, 588), (64, 588)]" in refusal(gpu, own)
    rewrite(own, [{"patches": [4, 100, 100]}] * 2)
    assert f"{TOWER_PLAN}: profiles: the plan has 2, the manifest 1" in refusal(gpu, own)


def test_the_plan_of_the_language_model_is_no_tower(gpu: FakeCuda, own: Path) -> None:
    text = Path(json.loads((own / PLAN).read_text())["graph"])
    rewrite(own, [{"patches": [4, 100, 100]}], text)
    assert "the plan does not have the manifest's tensors: ['attn_mask'," in refusal(gpu, own)


def test_a_tower_of_another_width(gpu: FakeCuda, own: Path) -> None:
    facts = Manifest.load(own).vision
    assert facts is not None
    edit(own, vision=dataclasses.replace(facts, patch=7))
    assert "patches: the plan has the shape (-1, 588), the manifest says (-1, 147)" in refusal(gpu, own)


def test_a_bundle_that_reads_text_alone_has_no_tower(gpu: FakeCuda, tmp_path: Path) -> None:
    text = make_bundle(factory.write(tmp_path / "checkpoint"), tmp_path)
    with pytest.raises(BundleError, match=rf"holds no {TOWER_PLAN}"):
        open_tower(text)


def test_too_little_memory_for_a_pass(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    cuda = FakeCuda(memory=100_000)
    install(monkeypatch, cuda)
    with pytest.raises(BundleError, match=rf"{TOWER_PLAN} needs 0\.00 GB to encode pictures, 0\.00 GB of 0\.00 GB"):
        open_tower(bundle)
    assert cuda.leaked == []


def test_no_gpu(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    cuda = FakeCuda()
    install(monkeypatch, cuda)
    cuda.failing["cudaGetDeviceCount"] = int(cudart.cudaError_t.cudaErrorInsufficientDriver)
    with pytest.raises(BundleError, match=r"no NVIDIA GPU can be used here: cudaGetDeviceCount failed with"):
        open_tower(bundle)

"""A small bundle whose tower has a plan of its own, on a fake GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from trimode.engines.tensorrt.tower import TensorRtTower

from tests.support import vision_checkpoints
from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import make_bundle, open_tower, used


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a checkpoint whose tower has places for 10 x 10 patches: its plan has one profile, of 100 patches."""
    folder = tmp_path_factory.mktemp("tower")
    return make_bundle(vision_checkpoints.write(folder / "checkpoint"), folder)


@pytest.fixture
def tower(gpu: FakeCuda, bundle: Path) -> Iterator[TensorRtTower]:
    with used(gpu, open_tower(bundle)) as opened:
        yield opened


@pytest.fixture
def own(bundle: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for entry in bundle.iterdir():
        (folder / entry.name).write_bytes(entry.read_bytes())
    return folder

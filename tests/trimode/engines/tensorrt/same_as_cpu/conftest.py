"""A TensorRT engine over a fake of TensorRT and CUDA, to be compared with the ONNX Runtime engine.

The fakes run the very graph that a plan is compiled from, on the CPU; nothing here was executed by TensorRT or a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from trimode.engines.tensorrt.engine import TensorRtEngine

from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import install, make_bundle, open_engine


@pytest.fixture(scope="module")
def gpu() -> Iterator[FakeCuda]:
    with pytest.MonkeyPatch.context() as patch:
        cuda = FakeCuda()
        install(patch, cuda)
        yield cuda


@pytest.fixture(scope="module")
def bundle(parity_kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(parity_kit / "checkpoints" / "plain", tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def engine(gpu: FakeCuda, bundle: Path) -> Iterator[TensorRtEngine]:
    opened = open_engine(bundle)
    yield opened
    opened.close()
    assert gpu.leaked == []

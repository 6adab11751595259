"""A small engine on a fake GPU.

The fakes themselves hold that shapes come before addresses, that addresses are aligned, that a graph's context is left
alone, and that nothing is read before the stream was waited for. Nothing here was executed by TensorRT or on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from trimode.engines.tensorrt.engine import TensorRtEngine

from tests.support import checkpoints as factory
from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import install, make_bundle, open_engine, used


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    return make_bundle(factory.write(folder / "checkpoint"), folder)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    cuda = FakeCuda()
    install(monkeypatch, cuda)
    return cuda


@pytest.fixture
def engine(gpu: FakeCuda, bundle: Path) -> Iterator[TensorRtEngine]:
    with used(gpu, open_engine(bundle)) as opened:
        yield opened

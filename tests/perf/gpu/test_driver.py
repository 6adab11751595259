"""gpu-check's questions to CUDA, asked of the fake one: right answers are ok, and each wrong one is named."""

from __future__ import annotations

from typing import Any

import pytest
from trimode.engines.tensorrt.cache import DeviceCache
from trimode.engines.tensorrt.cuda import Cuda
from trimode_perf.gpu import driver

from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import install


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    install(monkeypatch, cuda := FakeCuda())
    return cuda


def test_a_driver_that_does_what_it_must(cuda: FakeCuda) -> None:
    assert driver.compare("cuda") == {"copies": "ok", "lanes": "ok", "graphs": "ok"}
    assert cuda.leaked == []


def test_copies_that_do_not_arrive_are_named(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any) -> None:
        """Copies no byte."""

    monkeypatch.setattr(Cuda, "upload", nothing)
    monkeypatch.setattr(DeviceCache, "_move", nothing)
    found = driver.compare("cuda")
    assert "ValueError: 65536 of 65536 values differ" in found["graphs"]
    assert "values differ" in found["copies"] and "values differ" in found["lanes"]
    assert cuda.leaked == []


def test_a_processor_has_none() -> None:
    assert driver.compare("cpu") == {"skipped": "CUDA runs on a GPU alone"}

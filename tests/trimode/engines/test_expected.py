"""What a bundle expects of its engine: right ones open, and one that answers wrongly is refused by name.

TensorRT is a fake, over the graph that a plan would be compiled from: only how it is wrong is made up.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode.bundle.expected_rows import ExpectedRows
from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.engines.base import Engine
from trimode.engines.device_result import DeviceResult
from trimode.engines.expected import check_expected
from trimode.engines.registry import open_engine
from trimode.errors import BundleError
from trimode_convert.bundle.onnx_bundle import BundleOptions

from tests.support import checkpoints as factory
from tests.support.expecting import expect, write
from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import install, make_bundle
from tests.support.fake_tensorrt import IExecutionContext
from tests.support.onnx_bundles import build

OPTIONS = ServerConfig(threads=1, max_slots=2)
PASSES = 8


@pytest.fixture(scope="module", params=["float32", "float16"])
def planned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a plan with grouped queries, a draft adapter and what it expects."""
    folder = tmp_path_factory.mktemp("planned")
    checkpoint = factory.write(folder / "checkpoint", adapter_rank=4)
    bundle = make_bundle(checkpoint, folder, precision=request.param)
    assert len(expect(bundle, checkpoint).passes) == PASSES
    return bundle


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    install(monkeypatch, cuda := FakeCuda())
    return cuda


def test_a_plan_that_answers_as_expected_opens(planned: Path, gpu: FakeCuda, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    engine = open_engine(planned, OPTIONS)
    assert f"{PASSES} passes answer as the bundle expects: relative RMS at most" in caplog.text
    assert engine.calls == PASSES
    assert engine.allocate(block=False) != engine.allocate(block=True), "every slot is free again"
    engine.close()
    assert gpu.leaked == []


def refusal(planned: Path, gpu: FakeCuda) -> str:
    with pytest.raises(BundleError) as caught:
        open_engine(planned, OPTIONS)
    assert gpu.leaked == []
    return str(caught.value)


def test_a_plan_whose_attention_ignores_gaps_is_refused(
    planned: Path, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As TensorRT 11.2 did in float16 for single tokens (NVIDIA/TensorRT-Model-Connect, pull request 785)."""
    right = IExecutionContext.array

    def array(self: IExecutionContext, name: str, sizes: dict[Any, int]) -> np.ndarray[Any, Any]:
        found = right(self, name, sizes)
        if name != "attn_mask" or found.shape[2] != 1:
            return found
        return np.ascontiguousarray(np.logical_or.accumulate(found[..., ::-1], axis=-1)[..., ::-1])

    monkeypatch.setattr(IExecutionContext, "array", array)
    text = refusal(planned, gpu)
    manifest = Manifest.load(planned)
    rows = ExpectedRows.load(planned, manifest)
    assert rows is not None
    assert f"the engine answers wrongly in {manifest.precision} on this device: 'token behind a gap', token 0: " in text
    assert "the greatest difference; relative RMS " in text and f"of that pass, at most {rows.tolerance:g}" in text
    assert (
        "Build it in float32, whose attention has other kernels, or under another version of TensorRT. Rebuild" in text
    )


def test_a_plan_that_shows_blocks_no_later_token_is_refused(
    planned: Path, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = IExecutionContext.array

    def array(self: IExecutionContext, name: str, sizes: dict[Any, int]) -> np.ndarray[Any, Any]:
        found = right(self, name, sizes)
        if name != "attn_mask":
            return found
        size, length = found.shape[2:]
        if size == 1 or not (found[:, :, :1] == found[:, :, -1:]).all():
            return found  # no block: the first token sees another thing than the last
        last = int(np.flatnonzero(found[0, 0, 0])[-1])
        return np.ascontiguousarray(found & np.tri(size, length, last + 1 - size, dtype=bool))

    monkeypatch.setattr(IExecutionContext, "array", array)
    assert "on this device: 'block', token " in refusal(planned, gpu)


def test_a_plan_that_chooses_another_than_its_largest_logit_is_refused(
    planned: Path, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeviceResult, "top_id", property(lambda self: self.logits.argmin(axis=-1)))
    words = r"'causal prefill', token \d+: it chose id \d+, and id \d+ has a larger logit"
    assert re.search(words, refusal(planned, gpu))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_plan_that_gives_no_numbers_is_refused(
    planned: Path, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    right = DeviceResult.logits
    assert isinstance(right, property) and right.fget is not None
    get = right.fget
    monkeypatch.setattr(DeviceResult, "logits", property(lambda self: np.full_like(get(self), value)))
    with np.errstate(all="ignore"):
        assert "'causal prefill', token 0: the logit of id" in refusal(planned, gpu)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_engine_on_the_processor_answers_as_expected(tmp_path: Path, precision: str) -> None:
    checkpoint = factory.write(tmp_path / "checkpoint", adapter_rank=4)
    build(checkpoint, tmp_path / "bundle", BundleOptions(precision))
    rows = expect(tmp_path / "bundle", checkpoint)
    engine: Engine = open_engine(tmp_path / "bundle", OPTIONS)
    assert engine.calls == len(rows.passes) == PASSES
    wrong = [
        dataclasses.replace(one, logits=tuple(tuple(-x for x in row) for row in one.logits)) for one in rows.passes
    ]
    write(tmp_path / "bundle", dataclasses.replace(rows, passes=(*rows.passes[:-1], wrong[-1])).to_json())
    with pytest.raises(BundleError, match=f"answers wrongly in {precision} .*'block with adapter', token"):
        check_expected(engine, tmp_path / "bundle")


def test_a_bundle_without_rows_opens_without_a_pass(tmp_path: Path) -> None:
    build(factory.write(tmp_path / "checkpoint"), tmp_path / "bundle")
    assert open_engine(tmp_path / "bundle", OPTIONS).calls == 0

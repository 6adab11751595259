"""Which contexts compile a shape's kernels first, and the file that keeps them. Over a fake of TensorRT-RTX."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import tensorrt_rtx as real
from trimode.engines.tensorrt.engine import TensorRtEngine
from trimode.engines.tensorrt.jit import Jit

from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import open_engine
from tests.support.fake_tensorrt import ICudaEngine, IRuntimeConfig
from tests.support.tensorrt_passes import step

KINDS = real.DynamicShapesKernelSpecializationStrategy


@pytest.fixture
def made(engine: TensorRtEngine, monkeypatch: pytest.MonkeyPatch) -> list[IRuntimeConfig]:
    """The configurations of the contexts that are made from now on."""
    configs: list[IRuntimeConfig] = []
    make = ICudaEngine.create_execution_context

    def noted(self: ICudaEngine, config: IRuntimeConfig) -> object:
        configs.append(config)
        return make(self, config)

    monkeypatch.setattr(ICudaEngine, "create_execution_context", noted)
    return configs


def test_only_the_contexts_of_graphs_compile_first(engine: TensorRtEngine, made: list[IRuntimeConfig]) -> None:
    slot = engine.allocate(block=False)
    for at in range(3):
        step(engine, slot, at)
    assert [one.dynamic_shapes_kernel_specialization_strategy for one in made] == [KINDS.EAGER]
    assert made[0].allocation == real.ExecutionContextAllocationStrategy.USER_MANAGED
    waiting = engine._executor._contexts[0]._context.config
    assert waiting.dynamic_shapes_kernel_specialization_strategy == KINDS.LAZY
    assert waiting.cache is made[0].cache


def test_kernels_are_kept_beside_the_bundle_for_the_next_start(gpu: FakeCuda, bundle: Path) -> None:
    path = bundle.with_name("bundle.kernels")
    path.unlink(missing_ok=True)
    first = open_engine(bundle)
    slot = first.allocate(block=False)
    for at in range(3):
        step(first, slot, at)
    first.close()
    version, kernels = json.loads(path.read_bytes())
    assert version == "1.7.1.116" and len(kernels) == 1
    second = open_engine(bundle)
    jit = second._plan._jit
    assert jit is not None and jit._cache.kernels == set(kernels)
    second.close()
    assert [entry.name for entry in bundle.parent.glob("*.partial-*")] == []


def test_kernels_of_another_version_are_compiled_again(
    gpu: FakeCuda, bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle.with_name("bundle.kernels").write_text(json.dumps(["1.6", ["old"]]))
    with caplog.at_level(logging.INFO):
        engine = open_engine(bundle)
    assert "bundle.kernels is of another GPU, driver or TensorRT" in caplog.text
    jit = engine._plan._jit
    assert jit is not None and jit._cache.kernels == set()
    engine.close()
    assert json.loads(bundle.with_name("bundle.kernels").read_bytes()) == ["1.7.1.116", []]


def test_kernels_are_kept_once_a_graph_has_them_since_a_server_may_be_killed(gpu: FakeCuda, bundle: Path) -> None:
    path = bundle.with_name("bundle.kernels")
    path.unlink(missing_ok=True)
    engine = open_engine(bundle)
    slot = engine.allocate(block=False)
    for at in range(3):
        step(engine, slot, at)
    _, kernels = json.loads(path.read_bytes())
    assert len(kernels) == 1
    engine.close()


@pytest.mark.parametrize(("place", "why"), [("missing", "No such file or directory"), ("a file", "Not a directory")])
def test_where_nothing_can_be_written_the_server_ends_all_the_same(
    engine: TensorRtEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture, place: str, why: str
) -> None:
    jit = engine._plan._jit
    assert isinstance(jit, Jit)
    (tmp_path / "a file").touch()
    jit.path = tmp_path / place / "kernels"
    with caplog.at_level(logging.INFO):
        engine.close()
    assert f"the compiled kernels were not kept: {why}" in caplog.text

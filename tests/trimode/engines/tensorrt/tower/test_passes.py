"""The tower's plan over a fake of TensorRT and CUDA: which pictures share a pass, and what it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda.bindings import runtime as cudart
from trimode.bundle.manifest import PLAN, TOWER_PLAN, Manifest
from trimode.config import ServerConfig
from trimode.engines.base import Features, Row
from trimode.engines.registry import open_engine as open_by_registry
from trimode.engines.registry import open_tower as open_tower_by_registry
from trimode.engines.tensorrt import tower as tower_module
from trimode.engines.tensorrt.engine import TensorRtEngine
from trimode.engines.tensorrt.forms import PlanForm
from trimode.engines.tensorrt.memory import Need, TowerNeed
from trimode.engines.tensorrt.plan import Plan
from trimode.engines.tensorrt.tower import PATCHES_STEP, TensorRtTower
from trimode.errors import BundleError, DeviceLostError, EngineError

from tests.support import checkpoints as factory
from tests.support import vision_checkpoints
from tests.support.arrays import Array, assert_close
from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import install, make_bundle, open_engine, open_tower
from tests.support.fake_tensorrt import WORKSPACE, IExecutionContext

HIDDEN = 24


def picture(across: int, down: int) -> Array:
    noise = np.random.default_rng(across * 100 + down)
    return noise.standard_normal((3, 28 * down, 28 * across)).astype(np.float32)


def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The patches of each pass from now on."""
    made: list[int] = []
    run = IExecutionContext.execute_async_v3

    def noted(self: IExecutionContext, stream: int) -> bool:
        made.append(self.shapes["patches"][0])
        return run(self, stream)

    monkeypatch.setattr(IExecutionContext, "execute_async_v3", noted)
    return made


def test_pictures_together_are_pictures_apart(tower: TensorRtTower, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one pass, padded by patches that no picture sees; what the memory held before is of no account."""
    made = passes(monkeypatch)
    given = [picture(3, 2), picture(1, 1), picture(2, 4)]
    together = tower.encode(given)
    assert made == [100], "60 patches, rounded up to what the profile holds"
    assert [len(rows) for rows in together] == [6, 1, 8]
    for one, rows in zip(given, together, strict=True):
        assert_close(rows, tower.encode([one])[0])


def test_what_exceeds_a_pass_takes_more(tower: TensorRtTower, monkeypatch: pytest.MonkeyPatch) -> None:
    made = passes(monkeypatch)
    monkeypatch.setattr(tower_module, "PATCHES_STEP", 8)
    given = [picture(5, 4), picture(3, 2), picture(2, 1), picture(5, 5)]
    together = tower.encode(given)
    assert made == [80, 32, 100]
    for one, rows in zip(given, together, strict=True):
        assert_close(rows, tower.encode([one])[0])


def test_passes_are_rounded_so_that_shapes_recur(
    gpu: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tower of the family's size has two profiles; a picture that only the second holds runs under that."""
    bundle = make_bundle(vision_checkpoints.write(tmp_path / "checkpoint", vision_image_size=1540), tmp_path)
    tower, made = open_tower(bundle), passes(monkeypatch)
    compiled = Manifest.load(bundle).compiled
    assert compiled is not None and [one[2] for one in compiled.patches] == [4096, 10_000]
    for across, down in ((1, 1), (8, 8), (9, 8)):
        tower.encode([picture(across, down)])
    assert made == [PATCHES_STEP, PATCHES_STEP, 2 * PATCHES_STEP]
    profiles = [context._context.profile for context in tower._contexts]
    assert profiles == [0, 1]
    (rows,) = tower.encode([picture(33, 32)])
    assert (made[-1], len(rows)) == (4352, 33 * 32)
    assert tower._contexts[1]._context.shapes["patches"] == (4352, 588)
    tower.close()


def test_only_what_a_pass_has_is_copied(tower: TensorRtTower, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tower_module, "PATCHES_STEP", 8)
    tower.encode([picture(2, 1)])
    (up, sent), (down, fetched) = gpu.copied
    assert (up, down) == ("HostToDevice", "DeviceToHost")
    assert sent == 2 * 256 + 74 * 256  # positions, pictures and 8 x 588 numbers, each at a multiple of 256 bytes
    assert fetched == 2 * HIDDEN * 4


def test_a_picture_that_no_profile_holds_is_refused(tower: TensorRtTower) -> None:
    tower._profiles = ((4, 4, 16),)
    with pytest.raises(EngineError, match="a pass over 24 patches of pictures: the plan's largest profile holds 16"):
        tower.encode([picture(3, 2)])
    with pytest.raises(EngineError, match="whole cells"):
        tower.encode([np.zeros((3, 28, 30), np.float32)])


def test_a_pass_that_fails_says_why_and_the_next_one_runs(
    tower: TensorRtTower, gpu: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = tower.encode([picture(1, 1)])[0]
    with monkeypatch.context() as patch:
        patch.setattr(IExecutionContext, "execute_async_v3", lambda self, _: self._refuse("out of luck"))
        with pytest.raises(EngineError, match="TensorRT did not take the pass: out of luck"):
            tower.encode([picture(2, 2)])
        gpu.failing["cudaStreamSynchronize"] = int(cudart.cudaError_t.cudaErrorIllegalAddress)
        with pytest.raises(DeviceLostError, match="cudaErrorIllegalAddress"):
            tower.encode([picture(2, 2)])
    gpu.failing.clear()
    assert_close(tower.encode([picture(1, 1)])[0], expected)


def test_closing_twice_does_nothing(gpu: FakeCuda, bundle: Path) -> None:
    tower = open_tower(bundle)
    tower.close()
    tower.close()
    assert gpu.leaked == [] and gpu.loaded == 0
    assert gpu.order.index("context") < gpu.order.index("engine") < gpu.order.index("memory")


# Beside the engine


def test_tower_and_engine_have_streams_of_their_own(gpu: FakeCuda, bundle: Path) -> None:
    options = ServerConfig(threads=1, max_slots=2)
    engine = open_by_registry(bundle, options)
    tower = open_tower_by_registry(bundle, engine.manifest, options)
    assert isinstance(tower, TensorRtTower) and isinstance(engine, TensorRtEngine)
    assert int(tower._cuda.stream) != int(engine._cuda.stream)
    engine.close()
    assert len(tower.encode([picture(1, 1)])[0]) == 1
    tower.close()
    assert gpu.leaked == []


def test_the_engine_leaves_the_tower_its_memory(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    """With "auto" on a GPU that has room for three slots and the tower beside them, to the byte."""
    install(monkeypatch, FakeCuda())
    probe = open_engine(bundle, 1)
    tower = open_tower(bundle)
    need = TowerNeed.of(probe.manifest, tower._plan.host_types, WORKSPACE)
    assert need.total == sum((need.workspace, need.inputs, need.features))
    plan, files = probe._plan, probe.manifest.files
    whole = need.total + files[TOWER_PLAN]
    sizes = {"cache_bytes": plan.cache_bytes, "workspace": plan.workspace}
    of_text = Need.of(probe.manifest, plan.host_types, **sizes)
    own = Need.of(probe.manifest, plan.host_types, **sizes, tower=whole)
    assert own.once - of_text.once == whole
    tower.close()
    probe.close()
    cuda = FakeCuda(memory=own.once + files[PLAN] + 3 * (own.slot + own.kept))
    install(monkeypatch, cuda)
    engine = open_engine(bundle, "auto")
    assert engine.slots == 3
    opened = open_tower(bundle)
    opened.close()
    engine.close()
    install(monkeypatch, FakeCuda(memory=cuda.memory - 1))
    engine = open_engine(bundle, "auto")
    assert engine.slots == 2
    engine.close()
    with pytest.raises(BundleError, match=r"reserve 0\.50 GB\); with the plan loaded"):
        open_engine(bundle, 3)


def test_a_text_bundle_pays_nothing(gpu: FakeCuda, tmp_path: Path) -> None:
    """Its plan has no rows of pictures, its calls copy none, and no memory is left for a tower."""
    text = make_bundle(factory.write(tmp_path / "checkpoint"), tmp_path)
    manifest = Manifest.load(text)
    assert set(PlanForm.of_text(manifest).inputs).isdisjoint({"image_rows", "image_index"})
    engine = open_engine(text)
    need = Need.of(manifest, engine._plan.host_types, cache_bytes=4, workspace=WORKSPACE)
    assert need.tower == 0
    slot = engine.allocate(block=False)
    engine.run([Row(slot, np.array([5]), 0, "causal", np.zeros(1, np.int64), keep=True)])
    (call,) = engine._executor._calls.values()
    assert call.shape.images == 0 and "image_rows" not in call.addresses
    engine.close()
    options = ServerConfig(threads=1)
    assert open_tower_by_registry(text, manifest, options) is None


def test_a_call_without_pictures_copies_one_row_of_them(gpu: FakeCuda, bundle: Path) -> None:
    engine = open_engine(bundle)
    slot, tokens = engine.allocate(block=False), np.array([1, 19, 19, 5])
    row = Row(slot, tokens, 0, "causal", np.arange(4), keep=True)
    plain = engine.run([row])[0].logits.copy()
    shown = Features(np.array([1, 2]), np.ones((2, HIDDEN), np.float32))
    pictured = engine.run([row._replace(features=shown)])[0].logits.copy()
    assert np.abs(plain - pictured).max() > 1e-3
    assert_close(engine.run([row])[0].logits, plain)
    assert [call.shape.images for call in engine._executor._calls.values()] == [4, 1]
    engine.close()


def test_the_plan_says_what_a_context_takes(monkeypatch: pytest.MonkeyPatch, gpu: FakeCuda, bundle: Path) -> None:
    made: list[Plan] = []
    load = Plan.load.__func__  # type: ignore[attr-defined]

    def noted(cls: type[Plan], *rest: Any) -> Plan:
        made.append(load(cls, *rest))
        return made[-1]

    monkeypatch.setattr(Plan, "load", classmethod(noted))
    open_engine(bundle).close()
    assert [plan._form.file for plan in made] == [TOWER_PLAN, PLAN]
    assert made[0].workspace == WORKSPACE and made[0]._engine is None

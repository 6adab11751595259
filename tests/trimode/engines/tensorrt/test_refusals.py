"""Bundles that the TensorRT engine refuses, each with what is wrong, both values, and how to rebuild or install."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cuda.bindings import runtime as cudart
from trimode.bundle.compilation import Device
from trimode.bundle.manifest import PLAN, Manifest
from trimode.config import ServerConfig
from trimode.engines.tensorrt.cuda import BINDINGS, Cuda
from trimode.engines.tensorrt.memory import Need
from trimode.errors import BundleError, EngineError
from trimode.runtime import Runtime

from tests.support import checkpoints as factory
from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import BATCH, edit, install, make_bundle, open_engine
from tests.support.fake_tensorrt import ICudaEngine, write_plan

REBUILD = "Rebuild it on the machine that runs it: python -m trimode_convert CHECKPOINT --out"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    return make_bundle(factory.write(folder / "checkpoint"), folder)


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "bundle")


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> Callable[..., str]:
    """Open the bundle on a GPU of some kind; return what is said, and hold that nothing was left on the GPU."""

    def refuse(*, slots: int = 4, version: str = "1.7.1.116", device: int = 0, **gpu: Any) -> str:
        cuda = FakeCuda(**gpu)
        install(monkeypatch, cuda, version)
        with pytest.raises(BundleError) as caught:
            open_engine(bundle, slots, device)
        assert cuda.leaked == []
        return str(caught.value)

    return refuse


Refused = Callable[..., str]


def test_another_version_of_tensorrt(refused: Refused) -> None:
    text = refused(version="1.8.0.2")
    assert "version: the plan was compiled by tensorrt_rtx 1.7.1.116, this is 1.8.0.2" in text
    assert REBUILD in text


def test_another_compute_capability(refused: Refused) -> None:
    text = refused(capability=(9, 0))
    assert "compute capability: the plan was compiled for 8.6, 8.9, this GPU has 9.0" in text
    assert REBUILD in text


BUILT = Device("NVIDIA L40S", 142, 1 << 30)


def noted(bundle: Path) -> None:
    compiled = Manifest.load(bundle).compiled
    assert compiled is not None
    edit(bundle, compiled=dataclasses.replace(compiled, device=BUILT))


def test_a_smaller_slice_than_the_gpu_that_it_was_built_on(refused: Refused, bundle: Path) -> None:
    noted(bundle)
    text = refused(name="NVIDIA L40S MIG 1g.12gb", multiprocessors=35)
    assert "device: its kernels were chosen on NVIDIA L40S (142 multiprocessors, 1.07 GB), this is" in text
    assert REBUILD in text


def test_another_gpu_is_named_in_the_log_and_runs(
    monkeypatch: pytest.MonkeyPatch, bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noted(bundle)
    for name, multiprocessors, lines in (("NVIDIA L40S", 142, 0), ("NVIDIA L20", 92, 1)):
        install(monkeypatch, FakeCuda(name=name, multiprocessors=multiprocessors))
        open_engine(bundle).close()
        assert caplog.text.count("its kernels were chosen on NVIDIA L40S (142 multiprocessors, 1.07 GB), this") == lines


def test_a_plan_cut_short(refused: Refused, bundle: Path) -> None:
    size = (bundle / PLAN).stat().st_size
    (bundle / PLAN).write_bytes((bundle / PLAN).read_bytes()[:-7])
    text = refused()
    assert f"{PLAN} has {size - 7} bytes, expected {size}" in text
    assert REBUILD in text


def test_a_plan_that_tensorrt_cannot_read_is_refused_in_its_words(refused: Refused, bundle: Path) -> None:
    (bundle / PLAN).write_bytes(b"\0" * (bundle / PLAN).stat().st_size)
    text = refused()
    assert "cannot be loaded: Magic tag does not match" in text
    assert REBUILD in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_layers": 3}, "the plan does not have the manifest's tensors: ['past_key.2', 'past_value.2',"),
        ({"adapter": True}, "the plan does not have the manifest's tensors: ['lora_scale']"),
        ({"head_dim": 16}, "the plan has the shape (-1, 2, 256, 8), the manifest says (-1, 2, 256, 16)"),
        ({"vocab_size": 64}, "logits: the plan has the shape (-1, -1, 50), the manifest says (-1, -1, 64)"),
        ({"capacity": 512, "buckets": (64, 512)}, "(-1, 2, 256, 8), the manifest says (-1, 2, 512, 8)"),
    ],
)
def test_a_plan_of_another_model(refused: Refused, bundle: Path, changes: dict[str, Any], words: str) -> None:
    edit(bundle, **changes)
    text = refused()
    assert words in text
    assert REBUILD in text


def test_a_plan_of_other_profiles(refused: Refused, bundle: Path) -> None:
    manifest = Manifest.load(bundle)
    assert manifest.compiled is not None
    profiles = [vars(profile) for profile in manifest.compiled.profiles]
    graph = Path(json.loads((bundle / PLAN).read_text())["graph"])

    def rewrite(kept: list[dict[str, Any]]) -> None:
        write_plan(bundle / PLAN, graph, kept)
        files = {**manifest.files, PLAN: (bundle / PLAN).stat().st_size}
        dataclasses.replace(manifest, files=files).save(bundle)

    rewrite(profiles[:2])
    assert "profiles: the plan has 2, the manifest 3" in refused()
    rewrite([*profiles[:2], {**profiles[2], "seq": (1, 32, 32)}])
    assert "profile prefill: the plan's attn_mask has [(1, 1, 1, 1)" in refused()


def test_a_plan_that_does_not_write_its_cache_in_place(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ICudaEngine, "aliased", False)
    assert "present_key.0: the plan does not write it in place of past_key.0" in refused()


def test_a_bundle_of_the_graph_alone(refused: Refused, bundle: Path) -> None:
    files = {name: size for name, size in Manifest.load(bundle).files.items() if name != PLAN}
    edit(bundle, compiled=None, files=files)
    text = refused()
    assert f"holds the graph and no {PLAN}" in text
    assert REBUILD in text


def test_a_bundle_for_the_cpu(refused: Refused, bundle: Path) -> None:
    edit(bundle, kv_form="delta")
    assert "was built for tensorrt in delta form, not tensorrt in scatter form" in refused()


# Memory


def test_more_slots_than_fit(refused: Refused) -> None:
    """A slot of this model takes 65536 bytes; reserve and buffers, there once, half a gigabyte and a little."""
    text = refused(slots=100, memory=504_000_000)
    assert "GPU memory: max_slots 100 needs 0.01 GB for keys and values (0.00 GB each, capacity 256)" in text
    assert "with the plan loaded, 0.50 GB of 0.50 GB are free" in text
    assert "Lower max_slots (TRIMODE_MAX_SLOTS) to " in text
    fit = int(text.split("TRIMODE_MAX_SLOTS) to ")[1].split(",")[0])
    assert 0 < fit < 100
    assert REBUILD in text


def test_the_slots_said_to_fit_do(monkeypatch: pytest.MonkeyPatch, bundle: Path, refused: Refused) -> None:
    fit = int(refused(slots=100, memory=504_000_000).split("TRIMODE_MAX_SLOTS) to ")[1].split(",")[0])
    install(monkeypatch, FakeCuda(memory=504_000_000))
    open_engine(bundle, fit).close()


def test_auto_takes_what_fits_and_no_more_than_a_call_has_rows(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    """A GPU with room for thousands of slots, then one for three, then one for none."""
    cuda = FakeCuda()
    install(monkeypatch, cuda)
    engine = open_engine(bundle, "auto")
    assert engine.slots == BATCH
    plan = engine._plan
    need = Need.of(engine.manifest, plan.host_types, cache_bytes=plan.cache_bytes, workspace=plan.workspace)
    engine.close()
    each, rest = need.slot + need.kept, need.once + engine.manifest.files[PLAN]
    install(monkeypatch, FakeCuda(memory=rest + 4 * each - 1))
    (engine := open_engine(bundle, "auto")).close()
    assert engine.slots == 3
    install(monkeypatch, FakeCuda(memory=rest + each - 1))
    with pytest.raises(
        BundleError, match=r"GPU memory: max_slots auto needs .* Not even one slot fits: free GPU memory"
    ):
        open_engine(bundle, "auto")


def test_not_one_slot_fits(refused: Refused) -> None:
    assert "Not even one slot fits: free GPU memory, or choose a smaller capacity" in refused(
        slots=1, memory=400_000_000
    )


def test_a_plan_larger_than_the_gpus_memory(refused: Refused) -> None:
    text = refused(memory=100)
    assert "GPU memory: " in text and f"{PLAN} holds 0.00 GB, but 0.00 GB of 0.00 GB are free" in text
    assert REBUILD in text


def test_a_cache_whose_lanes_would_not_be_aligned(refused: Refused, bundle: Path, tmp_path: Path) -> None:
    odd = make_bundle(factory.write(tmp_path / "checkpoint"), tmp_path / "odd", capacity=129)
    shutil.rmtree(bundle)
    shutil.copytree(odd, bundle)
    text = refused()
    assert "must be a multiple of 256 bytes, as TensorRT demands of addresses, got 8256 with capacity 129" in text


def test_an_allocation_that_fails_all_the_same(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    cuda = FakeCuda()
    install(monkeypatch, cuda)
    cuda.failing["cudaMalloc"] = int(cudart.cudaError_t.cudaErrorMemoryAllocation)
    with pytest.raises(BundleError, match=r"cudaMalloc failed with cudaErrorMemoryAllocation \(2\): out of memory"):
        open_engine(bundle)
    assert cuda.leaked == []


# What is not installed or not there


def without(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    def find(name: str, *rest: Any) -> Any:
        if name == missing:
            raise ModuleNotFoundError(f"No module named {missing!r}")
        return known(name, *rest)

    known = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", find)
    monkeypatch.delitem(sys.modules, missing, raising=False)


def test_tensorrt_is_not_installed(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    without(monkeypatch, "tensorrt_rtx")
    with pytest.raises(BundleError, match=r"needs tensorrt_rtx 1\.7\.1\.116, which is not installed") as caught:
        open_engine(bundle)
    assert "pip install tensorrt-rtx-cu13==1.7.1.116" in str(caught.value)


def test_cuda_python_is_not_installed(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    install(monkeypatch, FakeCuda())
    without(monkeypatch, BINDINGS)
    with pytest.raises(BundleError, match=r"cuda-python is not installed .*pip install -e '\.\[gpu\]'"):
        open_engine(bundle)


def test_no_driver(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    cuda = FakeCuda()
    install(monkeypatch, cuda)
    cuda.failing["cudaGetDeviceCount"] = int(cudart.cudaError_t.cudaErrorInsufficientDriver)
    with pytest.raises(BundleError, match=r"no NVIDIA GPU can be used here: cudaGetDeviceCount failed with") as caught:
        open_engine(bundle)
    assert REBUILD not in str(caught.value)


def test_bindings_that_cannot_load_the_drivers_library(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    cuda = FakeCuda()
    install(monkeypatch, cuda)

    def cudaGetDeviceCount() -> Any:
        raise RuntimeError("Failed to dlopen libcuda.so.1")

    monkeypatch.setattr(cuda, "cudaGetDeviceCount", cudaGetDeviceCount, raising=False)
    with pytest.raises(BundleError, match=r"cudaGetDeviceCount: Failed to dlopen libcuda\.so\.1"):
        open_engine(bundle)


def test_no_gpu_of_that_number(refused: Refused) -> None:
    assert "device: expected a GPU from 0 to 1, got 2" in refused(devices=2, device=2)


@pytest.mark.skipif(cudart.cudaGetDeviceCount()[0] == 0, reason="there is a GPU")
def test_the_real_bindings_say_that_there_is_no_gpu_here() -> None:
    with pytest.raises(EngineError, match="no NVIDIA GPU can be used here: cudaGetDeviceCount"):
        Cuda.open(0)


@pytest.mark.skipif(cudart.cudaGetDeviceCount()[0] == 0, reason="there is a GPU")
def test_a_bundle_opened_with_the_real_bindings_says_so_too(bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"bundle runs on an NVIDIA GPU: no NVIDIA GPU can be used here") as caught:
        open_engine(bundle)
    assert REBUILD not in str(caught.value)


# Which engine a bundle gets


def test_the_manifest_names_the_engine(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    cuda = FakeCuda(devices=3)
    install(monkeypatch, cuda)
    runtime = Runtime.open(ServerConfig(bundle=bundle, max_slots=2, device=2))
    assert type(runtime.engine).__name__ == "TensorRtEngine"
    assert cuda._streams == {0x5000: 2}
    runtime.close()
    assert cuda.leaked == []
    runtime.close()


def test_a_runtime_that_no_engine_is_for(bundle: Path) -> None:
    edit(bundle, runtime="abacus")
    known = r"\['onnxruntime', 'tensorrt', 'torch'\]"
    with pytest.raises(BundleError, match=rf"runtime: expected one of {known}, got 'abacus'"):
        Runtime.open(ServerConfig(bundle=bundle))


def test_an_engine_that_fails_its_first_pass_is_closed(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    cuda = FakeCuda()
    install(monkeypatch, cuda)
    monkeypatch.setattr("trimode.runtime.warm_up", lambda engine: (_ for _ in ()).throw(EngineError("not finite")))
    with pytest.raises(EngineError, match="not finite"):
        Runtime.open(ServerConfig(bundle=bundle))
    assert cuda.leaked == []

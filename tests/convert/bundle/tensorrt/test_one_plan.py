"""A TensorRT bundle from checkpoint to manifest, with the real compiler; what is resumed, refused, and left behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trimode.bundle.compilation import Device
from trimode.bundle.expected_rows import ExpectedRows
from trimode.bundle.manifest import (
    EXPECTED,
    GRAPH,
    PLAN,
    TOKENIZER,
    WEIGHTS,
    Manifest,
)
from trimode.errors import BundleError
from trimode_convert.bundle import tensorrt_bundle
from trimode_convert.bundle.tensorrt_bundle import work_folder
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.cli import main
from trimode_convert.recipe import arguments_for
from trimode_convert.tensorrt import footprint, local_gpu
from trimode_convert.tensorrt.compiler import Compiler
from trimode_convert.tensorrt.footprint import GPUS, Gpu
from trimode_convert.verify import onnx_reference

from tests.convert.bundle.tensorrt.conftest import design
from tests.support import checkpoints as factory
from tests.support.fake_cuda import FakeCuda

SLICE = Device("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 16, 10 << 30)
SMALL = {"hidden_size": 128, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 64}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Iterator[Checkpoint]:
    settings = factory.config(intermediate_size=128, num_hidden_layers=1, vocab_size=128, **SMALL)
    folder = factory.write(tmp_path / "some-model", settings, adapter_rank=4)
    (folder / TOKENIZER).write_text('{"model": {"vocab": {}}}')
    with Checkpoint.open(folder) as opened:
        yield opened


def test_command_line_compiles_a_bundle(checkpoint: Checkpoint, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--target", "tensorrt", "--precision", "float16", "--verify", "--gpu", "L40S-48G", "--batch", "2"]
    assert main([str(checkpoint.folder), "--out", str(out), "--flavour", "tensorrt_rtx", *options]) == 0
    said = capsys.readouterr()
    assert "compiled with tensorrt_rtx 1.7.1.116, not executed" in said.out
    assert said.out.count("ok: max") == 8
    assert "drafts of up to 16 tokens" in said.out
    assert "of memory to build (estimates)" in said.err
    manifest = Manifest.load(out)
    assert (manifest.runtime, manifest.kv_form, manifest.precision) == ("tensorrt", "scatter", "float16")
    assert manifest.compiled is not None
    assert manifest.compiled.compute_capabilities == ("8.9",)
    assert [profile.name for profile in manifest.compiled.profiles] == ["step", "block", "prefill", "quadratic"]
    assert set(manifest.files) == {PLAN, TOKENIZER, EXPECTED}
    rows = ExpectedRows.load(out, manifest)
    assert rows is not None and (rows.tolerance, len(rows.passes)) == (0.01, 8)
    assert [entry.name for entry in out.parent.iterdir()] == ["bundle"]
    about = {"flavour": "tensorrt_rtx", "version": "1.7.1.116", "compute_capability": "8.9"}
    assert manifest.check_device(out, **about, device=SLICE) is None


def test_graph_only_writes_what_another_machine_compiles(checkpoint: Checkpoint, out: Path) -> None:
    assert main([str(checkpoint.folder), "--out", str(out), "--target", "tensorrt", "--graph-only"]) == 0
    assert set(Manifest.load(out).files) == {GRAPH, WEIGHTS, TOKENIZER}


def test_verify_of_bfloat16_computes_the_graph_in_numpy(
    checkpoint: Checkpoint, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--target", "tensorrt", "--graph-only", "--verify"]
    assert main([str(checkpoint.folder), "--out", str(out), *options]) == 0
    assert capsys.readouterr().out.count("ok: max") == 8


def test_verify_of_bfloat16_refuses_a_large_model_with_the_figures(
    checkpoint: Checkpoint, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnx_reference, "LARGEST", 1000)
    assert main([str(checkpoint.folder), "--out", str(out), "--target", "tensorrt", "--graph-only", "--verify"]) == 1
    assert "expected at most 1,000 bytes to compute in bfloat16 on the CPU" in capsys.readouterr().err


def test_second_build_is_up_to_date(checkpoint: Checkpoint, out: Path, fake_compile: list[str]) -> None:
    build = design(checkpoint)
    assert not build.is_up_to_date(out)
    build.run(out, expect=lambda: b"rows")
    assert build.is_up_to_date(out)
    assert (out / EXPECTED).read_bytes() == b"rows"
    assert not design(checkpoint, batch=2).is_up_to_date(out)
    assert not design(checkpoint, quadratic=8).is_up_to_date(out)
    assert not design(checkpoint, "float16").is_up_to_date(out)


def test_build_cut_off_in_the_compiler_does_not_export_again(
    checkpoint: Checkpoint, out: Path, fake_compile: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Compiler, "compile", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            design(checkpoint).run(out)
    assert not out.exists()
    exported = work_folder(out) / "graph" / WEIGHTS
    before = exported.stat().st_ino
    written: list[int] = []
    kept = os.open(exported, os.O_RDONLY)  # so that the number is not given to another file
    design(checkpoint).run(out, advance=written.append)
    os.close(kept)
    assert (written, before > 0, fake_compile) == ([], True, [GRAPH])
    assert not work_folder(out).exists()


def test_build_cut_off_after_the_compiler_does_not_compile_again(
    checkpoint: Checkpoint, out: Path, fake_compile: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tensorrt_bundle, "replacing", lambda _: (_ for _ in ()).throw(BundleError("disk")))
        with pytest.raises(BundleError, match="disk"):
            design(checkpoint).run(out, expect=lambda: b"rows")
    build = design(checkpoint)
    assert build.cost(10**12, out).seconds == 0
    build.run(out, expect=lambda: b"computed again")
    assert (out / EXPECTED).read_bytes() == b"rows"
    assert fake_compile == [GRAPH]


@pytest.mark.parametrize("change", [{"batch": 2}, {"precision": "float16"}, {"capabilities": ["8.6"]}])
def test_compiled_part_of_another_build_is_not_taken(
    checkpoint: Checkpoint, out: Path, fake_compile: list[str], monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tensorrt_bundle, "replacing", lambda _: (_ for _ in ()).throw(BundleError("disk")))
        with pytest.raises(BundleError):
            design(checkpoint).run(out)
    design(checkpoint, **change).run(out)
    assert len(fake_compile) == 2


def test_too_little_memory_is_refused_before_anything_is_written(
    checkpoint: Checkpoint, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footprint, "host_memory", lambda: (10**6, 10**6))
    with pytest.raises(BundleError, match="memory: the build needs about"):
        design(checkpoint).run(out)
    assert not out.parent.exists()


def test_portable_build_leaves_out_devices_without_the_arithmetic(checkpoint: Checkpoint) -> None:
    assert design(checkpoint).capabilities == ("8.0", "8.6", "8.9", "12.0")
    assert design(checkpoint, "fp8").capabilities == ("8.9", "12.0")
    assert design(checkpoint, "nvfp4").capabilities == ("12.0",)


def test_precision_that_a_device_lacks_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(BundleError, match=r"precision: fp8 needs compute capability 8\.9 or more, got 8\.6"):
        design(checkpoint, "fp8", capabilities=["8.6"])


def test_gpu_of_another_compiler_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(BundleError, match=r"got 9\.0; data-centre GPUs"):
        design(checkpoint, gpu="H200")


def test_gpu_that_is_too_small_is_refused(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GPUS, "L40S-48G", Gpu(10**9, "8.9"))
    with pytest.raises(BundleError, match=r"GPU memory: L40S-48G has 1\.00 GB, one sequence needs"):
        design(checkpoint, gpu="L40S-48G")


@pytest.mark.subprocess
def test_this_machines_gpu_is_asked_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert local_gpu.local_gpu() is None
    script = tmp_path / "nvidia-smi"
    script.write_text(f"#!{sys.executable}\nprint('8.9, 46068, [N/A]')\n")
    script.chmod(0o755)
    assert local_gpu.local_gpu() == Gpu(46068 << 20, "8.9")
    script.write_text(f"#!{sys.executable}\nprint('9.0, 81559, Enabled')\n")
    with pytest.raises(BundleError, match=r"divided into slices \(MIG\).*pip install -e '\.\[gpu\]'"):
        local_gpu.local_gpu()
    script.write_text(f"#!{sys.executable}\nprint('no devices were found')\n")
    assert local_gpu.local_gpu() is None


@pytest.mark.subprocess
def test_a_slice_of_a_gpu_is_asked_of_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of nvidia-smi, which knows the whole card alone."""
    cuda = FakeCuda(name=SLICE.name, multiprocessors=SLICE.multiprocessors, memory=SLICE.memory, capability=(9, 0))
    monkeypatch.setitem(sys.modules, local_gpu.BINDINGS, cuda)
    monkeypatch.setattr(local_gpu, "QUERY", ("false",))
    assert local_gpu.local_gpu() == Gpu(10 << 30, "9.0", SLICE)
    cuda.failing["cudaGetDeviceProperties"] = 100
    assert local_gpu.local_gpu() is None


def test_a_plan_notes_the_gpu_on_which_its_kernels_are_timed(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_bundle, "local_gpu", lambda: Gpu(SLICE.memory, "9.0", SLICE))
    monkeypatch.setattr(Compiler, "load", lambda flavour: Compiler(flavour, "11.2.0", None))
    on_gpu = design(checkpoint, flavour="tensorrt").manifest.compiled
    assert on_gpu is not None and on_gpu.device == SLICE
    monkeypatch.undo()
    monkeypatch.setattr(tensorrt_bundle, "local_gpu", lambda: Gpu(SLICE.memory, "9.0", SLICE))
    elsewhere = design(checkpoint, flavour="tensorrt_rtx").manifest.compiled
    assert elsewhere is not None and elsewhere.device is None


def test_recipe_of_a_gpu_becomes_the_converters_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "build").mkdir()
    factory.write(tmp_path / "there")
    entry = "{precision: fp8, capacity: 300, batch: 2, slots: 9}"
    (tmp_path / "build" / "m.yaml").write_text(f"checkpoint: there\ntensorrt:\n  L40S-48G: {entry}\n")
    expected = "there --out o --target tensorrt --gpu L40S-48G --precision fp8 --capacity 300 --batch 2 --name m"
    assert arguments_for("m", "float32", Path("o"), "L40S-48G") == expected.split()
    with pytest.raises(Exception, match=r"GPU: build/m.yaml names L40S-48G, got 'H200'"):
        arguments_for("m", "float32", Path("o"), "H200")

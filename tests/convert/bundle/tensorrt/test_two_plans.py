"""A TensorRT bundle of a checkpoint that reads pictures: the language model's plan, and the tower's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trimode.bundle import digests
from trimode.bundle.expected_rows import ExpectedRows
from trimode.bundle.manifest import (
    EXPECTED,
    GRAPH,
    PLAN,
    TOWER_GRAPH,
    TOWER_PLAN,
    TOWER_WEIGHTS,
    WEIGHTS,
    Manifest,
)
from trimode.errors import BundleError
from trimode_convert.bundle import tensorrt_bundle
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.cli import main
from trimode_convert.tensorrt.compiler import CompileFacts, Compiler
from trimode_convert.tensorrt.footprint import Gpu, build_cost

from tests.convert.bundle.tensorrt.conftest import design
from tests.support import vision_checkpoints

TOWER = {"vision_hidden_size": 64, "vision_num_attention_heads": 4, "vision_head_dim": 16}


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Checkpoint]:
    folder = vision_checkpoints.write(tmp_path / "seeing-model", hidden_size=64, **TOWER)
    with Checkpoint.open(folder) as opened:
        yield opened


def test_command_line_compiles_the_tower_as_a_second_plan(
    seeing: Checkpoint, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--target", "tensorrt", "--precision", "float16", "--verify", "--gpu", "L40S-48G", "--batch", "2"]
    assert main([str(seeing.folder), "--out", str(out), "--flavour", "tensorrt_rtx", *options]) == 0
    said = capsys.readouterr().out
    assert "compiled with tensorrt_rtx 1.7.1.116, not executed" in said
    assert "3 pictures" in said and "GPU memory for pictures" in said
    manifest = Manifest.load(out)
    assert set(manifest.files) == {PLAN, TOWER_PLAN, EXPECTED}
    assert manifest.vision is not None and manifest.compiled is not None
    assert manifest.compiled.patches == ((4, 100, 100),)
    assert not {GRAPH, WEIGHTS, TOWER_GRAPH, TOWER_WEIGHTS} & {entry.name for entry in out.iterdir()}
    rows = ExpectedRows.load(out, manifest)
    assert rows is not None and [(one.across, one.down) for one in rows.pictures] == [(2, 1), (1, 1), (3, 2)]
    (out / TOWER_PLAN).write_bytes(b"damaged" + (out / TOWER_PLAN).read_bytes()[7:])
    with pytest.raises(BundleError, match=rf"{TOWER_PLAN} is damaged between bytes 0 and"):
        digests.check(out, manifest, everything=True)


def test_graph_only_writes_both_graphs(seeing: Checkpoint, out: Path) -> None:
    options = ["--target", "tensorrt", "--precision", "float32", "--graph-only", "--verify"]
    assert main([str(seeing.folder), "--out", str(out), *options]) == 0
    assert set(Manifest.load(out).files) == {GRAPH, WEIGHTS, TOWER_GRAPH, TOWER_WEIGHTS}


def test_second_build_with_a_tower_is_up_to_date(seeing: Checkpoint, out: Path, fake_compile: list[str]) -> None:
    design(seeing).run(out)
    assert fake_compile == [GRAPH, TOWER_GRAPH]
    assert design(seeing).is_up_to_date(out)
    manifest = Manifest.load(out)
    assert manifest.compiled is not None
    other = dataclasses.replace(manifest.compiled, patches=((4, 64, 64),))
    dataclasses.replace(manifest, compiled=other).save(out)
    digests.write(out)
    assert not design(seeing).is_up_to_date(out)


def test_build_cut_off_between_the_plans_compiles_the_second_alone(
    seeing: Checkpoint, out: Path, fake_compile: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_ = Compiler.compile

    def cut_off(self: Compiler, graph: Path, *rest: Any, **more: Any) -> CompileFacts:
        if graph.name == TOWER_GRAPH:
            raise KeyboardInterrupt
        return compile_(self, graph, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Compiler, "compile", cut_off)
        with pytest.raises(KeyboardInterrupt):
            design(seeing).run(out)
    written: list[int] = []
    build = design(seeing)
    assert build.cost(10**12, out).seconds > 0
    build.run(out, advance=written.append)
    assert (written, fake_compile) == ([], [GRAPH, TOWER_GRAPH])
    assert Manifest.load(out).files[TOWER_PLAN] == Manifest.load(out).files[PLAN] == 4


def test_building_takes_the_memory_of_the_larger_plan(seeing: Checkpoint, out: Path) -> None:
    build = design(seeing)
    sizes = [build.draft.manifest.files[name] for name in (WEIGHTS, TOWER_WEIGHTS)]
    cost, alone = build.cost(0, out), build_cost(0, max(sizes), "bfloat16")
    assert cost.memory == alone.memory
    assert cost.disk - alone.disk == 2 * min(sizes)


def test_a_gpu_too_small_for_the_tower_is_refused(seeing: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    need = design(seeing).footprint
    assert need.tower > 0
    enough = need.once + need.per_slot
    monkeypatch.setattr(tensorrt_bundle, "GPUS", {"own": Gpu(enough, "8.9"), "less": Gpu(enough - 1, "8.9")})
    design(seeing, gpu="own")
    with pytest.raises(BundleError, match=r"GPU memory: less has .*, pictures 0\.00 GB, reserve 1\.50 GB"):
        design(seeing, gpu="less")

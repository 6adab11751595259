"""What an engine needs by its shapes: the released sizes, the recipes that quote them, refusals with the figures."""

from __future__ import annotations

import json
import struct
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from trimode.errors import BundleError, CheckpointError
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.checkpoint.config import ModelConfig
from trimode_convert.cli import peak_memory
from trimode_convert.graph.model import draw
from trimode_convert.graph.precisions import TENSORRT
from trimode_convert.tensorrt.footprint import (
    GB,
    GPUS,
    BuildCost,
    Footprint,
    build_cost,
    check_build,
    check_gpu,
    footprint,
)
from trimode_convert.tensorrt.profiles import Shapes

from tests.support import checkpoints as factory
from tests.support import official_shapes

RECIPES = Path(__file__).parents[3] / "build"


@cache
def config(size: str) -> ModelConfig:
    with TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(official_shapes.config(size)))
        return ModelConfig.load(Path(folder))


@cache
def need(size: str, precision: str = "bfloat16", capacity: int = 4096, batch: int = 4) -> Footprint:
    settings = config(size)
    shapes = Shapes.of(settings, capacity, batch)
    return footprint(settings, precision, shapes, adapter_rank=official_shapes.ADAPTER_RANK)


@pytest.mark.parametrize("size", official_shapes.SIZES)
def test_bfloat16_weights_are_two_bytes_a_parameter(size: str) -> None:
    """Besides the adapter, position tables and padding: 1.3 percent of 3B, less of the others."""
    weights = need(size).weights
    assert 1 < weights / (2 * official_shapes.PARAMETERS[size]) < 1.013


@pytest.mark.parametrize(("size", "bytes_a_token"), [("3b", 106_496), ("8b", 139_264), ("14b", 163_840)])
def test_a_slot_holds_keys_and_values_of_its_capacity(size: str, bytes_a_token: int) -> None:
    assert need(size, capacity=1000).kv_per_slot == 1000 * bytes_a_token


def test_smaller_codes_make_smaller_engines() -> None:
    sizes = [need("8b", precision).weights for precision in ("float32", "bfloat16", "fp8", "int4")]
    assert sizes == sorted(sizes, reverse=True)
    assert need("8b", "int8").weights == need("8b", "fp8").weights


@pytest.mark.parametrize("size", official_shapes.SIZES)
def test_recipe_says_what_the_footprint_says(size: str) -> None:
    table: dict[str, dict[str, Any]] = yaml.safe_load((RECIPES / f"{size}.yaml").read_text())["tensorrt"]
    assert set(table) == set(GPUS)
    for gpu, entry in table.items():
        found = need(size, entry["precision"], entry["capacity"], entry["batch"])
        computed = {
            "precision": entry["precision"],
            "capacity": entry["capacity"],
            "batch": entry["batch"],
            "weights_gb": round(found.weights / GB, 2),
            "kv_gb_per_slot": round(found.kv_per_slot / GB, 2),
            "workspace_gb": round(found.workspace / GB, 2),
            "slots": found.slots(GPUS[gpu].memory),
        }
        assert entry == computed, f"put this into build/{size}.yaml for {gpu}: {computed}"
        assert entry["slots"] >= entry["batch"]
        least = TENSORRT.precision(entry["precision"]).compute_capability
        assert float(GPUS[gpu].compute_capability) >= float(least)


def test_whole_14b_checkpoint_is_planned_without_its_bytes(tmp_path: Path) -> None:
    """27 GB of header and hole: opened, checked, drawn and planned in the memory of its graph."""
    settings = official_shapes.config("14b")
    header: dict[str, object] = {}
    end = 0
    for name, shape in factory.shapes(settings).items():
        size = 2
        for side in shape:
            size *= side
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end := end + size]}
    text = json.dumps(header).encode()
    with (tmp_path / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + end)
    (tmp_path / "config.json").write_text(json.dumps(settings))
    before = peak_memory()
    with Checkpoint.open(tmp_path) as checkpoint:
        assert checkpoint.parameters == official_shapes.PARAMETERS["14b"]
        drawn = draw(checkpoint, target=TENSORRT, precision="bfloat16", capacity=4096, location="model.data")
        shapes = Shapes.of(checkpoint.config, 4096)
        found = footprint(checkpoint.config, "bfloat16", shapes, weights=drawn.weights.total_bytes)
    assert end == 27_012_147_200
    assert end < found.weights < 1.001 * end
    assert len(drawn.model.SerializeToString()) < 4_000_000
    assert peak_memory() - before < 200e6


def test_gpu_that_is_too_small_is_refused_with_the_figures() -> None:
    found = need("14b")
    with pytest.raises(
        BundleError, match=r"RTX4090-24G has 24\.00 GB, one sequence needs 29\.8\d GB: weights 27\.11 GB"
    ):
        check_gpu(found, "RTX4090-24G", GPUS["RTX4090-24G"].memory)
    check_gpu(found, "L40S-48G", GPUS["L40S-48G"].memory)


def test_too_little_memory_is_refused_with_the_figures(tmp_path: Path) -> None:
    cost = build_cost(27 * GB, 27 * GB, "bfloat16")
    with pytest.raises(BundleError, match=r"memory: the build needs about 68\.50 GB, 24\.00 GB are available"):
        check_build(BuildCost(0, cost.memory, 0), tmp_path / "out", available=24 * GB)
    check_build(BuildCost(0, cost.memory, 0), tmp_path / "out", available=70 * GB)


def test_too_little_disk_is_refused_with_the_figures(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"disk: the build needs 1,000,000\.00 GB at .*, [\d.,]+ GB are free"):
        check_build(BuildCost(10**15, 0, 0), tmp_path / "out")


def test_exported_graph_that_is_there_needs_no_disk_or_time_again() -> None:
    fresh, resumed = build_cost(8 * GB, 8 * GB, "fp8"), build_cost(8 * GB, 8 * GB, "fp8", done=8 * GB)
    assert fresh.disk - resumed.disk == 8 * GB
    assert fresh.seconds > resumed.seconds


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"batch": 0}, "batch: expected at least 1, found 0"), ({"chunk": 8}, r"chunk: expected 32 .*, found 8"),
     ({"chunk": 9999}, r"chunk: expected 32 \(block\) to 4096 \(capacity\), found 9999")],
)  # fmt: skip
def test_shapes_out_of_range_are_refused(changes: dict[str, int], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        Shapes.of(config("3b"), 4096, **changes)


def test_profiles_are_steps_blocks_and_chunks() -> None:
    step, block, prefill = Shapes.of(config("3b"), 4096, batch=8, chunk=256).profiles()
    assert (step.seq, block.seq[2], prefill.seq[2]) == ((1, 1, 1), 32, 256)
    assert [one.batch[2] for one in (step, block, prefill)] == [8, 8, 2]
    assert {one.length[2] for one in (step, block, prefill)} == {4096}
    assert {one.rows[0] for one in (step, block, prefill)} == {0}

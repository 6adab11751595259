"""What an engine needs by its shapes: the released sizes, the recipes that quote them, refusals with the figures."""

from __future__ import annotations

import dataclasses
import json
import struct
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from trimode.api.rows.images import MOST_IMAGE_SIZE
from trimode.bundle.compilation import Compilation
from trimode.errors import BundleError, CheckpointError
from trimode.vision.encoder import PASS_PATCHES
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.checkpoint.config import ModelConfig
from trimode_convert.graph.model import draw
from trimode_convert.graph.precisions import TENSORRT
from trimode_convert.graph.tower import draw_tower
from trimode_convert.recipe import load_recipe
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
from trimode_convert.tensorrt.profiles import Shapes, input_ranges, tower_patches, tower_ranges

from tests.support import checkpoints as factory
from tests.support import official_shapes
from tests.support.memory import Growth

TOWER_PARAMETERS = 403_305_472 + 25_166_848
"""Of VLM-8B's tower and projector."""
RECIPES = Path(__file__).parents[3] / "build"
PLANNING_BYTES = 50_000_000
"""Ten times what the plan of the largest checkpoint took, whose files have 27 GB."""


@cache
def config(size: str) -> ModelConfig:
    settings = official_shapes.vision_config() if size == "vlm-8b" else official_shapes.config(size)
    with TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(settings))
        return ModelConfig.load(Path(folder))


@cache
def need(
    size: str, precision: str = "bfloat16", capacity: int = 4096, batch: int = 4, quadratic: int | None = None
) -> Footprint:
    settings = config(size)
    shapes = Shapes.of(settings, capacity, batch, quadratic=quadratic)
    rank = official_shapes.ADAPTER_RANK if settings.vision is None else 0
    return footprint(settings, precision, shapes, adapter_rank=rank)


MARGIN = 1.25
"""How much more than now what is beside the large figures may take."""


@pytest.mark.parametrize(("size", "beside"), [("3b", 0.0069), ("8b", 0.0045), ("14b", 0.0037)])
def test_bfloat16_weights_are_two_bytes_a_parameter(size: str, beside: float) -> None:
    """The adapter, position tables and padding take little beside them."""
    weights = need(size).weights
    assert 0 < weights / (2 * official_shapes.PARAMETERS[size]) - 1 < MARGIN * beside


@pytest.mark.parametrize(("size", "bytes_a_token"), [("3b", 106_496), ("8b", 139_264), ("14b", 163_840)])
def test_a_slot_holds_keys_and_values_of_its_capacity(size: str, bytes_a_token: int) -> None:
    assert need(size, capacity=1000).kv_per_slot == 1000 * bytes_a_token


def test_smaller_codes_make_smaller_engines() -> None:
    sizes = [need("8b", precision).weights for precision in ("float32", "bfloat16", "fp8", "int4")]
    assert sizes == sorted(sizes, reverse=True)
    assert need("8b", "int8").weights == need("8b", "fp8").weights


@pytest.mark.parametrize("size", [*official_shapes.SIZES, "vlm-8b"])
def test_recipe_says_what_the_footprint_says(size: str) -> None:
    table: dict[str, dict[str, Any]] = yaml.safe_load((RECIPES / f"{size}.yaml").read_text())["tensorrt"]
    assert set(table) == set(GPUS)
    for gpu, entry in table.items():
        found = need(size, entry["precision"], entry["capacity"], entry["batch"], entry["quadratic"])
        computed = {
            "precision": entry["precision"],
            "capacity": entry["capacity"],
            "batch": entry["batch"],
            "quadratic": entry["quadratic"],
            "weights_gb": round(found.weights / GB, 2),
            "kv_gb_per_slot": round(found.kv_per_slot / GB, 2),
            "workspace_gb": round(found.workspace / GB, 2),
            "slots": found.slots(GPUS[gpu].memory),
        } | ({"tower_gb": round(found.tower / GB, 2)} if found.tower else {})
        assert entry == computed, f"put this into build/{size}.yaml for {gpu}: {computed}"
        assert entry["batch"] <= entry["slots"] <= entry["batch"] + 1, "rows for as many sequences as fit, and no more"
        least = TENSORRT.precision(entry["precision"]).compute_capability
        assert float(GPUS[gpu].compute_capability) >= float(least)


def test_the_recipes_of_what_ships_fit_their_gpus_and_are_for_all_of_them() -> None:
    recipe = load_recipe(RECIPES / "nano.yaml")
    assert set(recipe["tensorrt"]) == set(GPUS)
    settings = ModelConfig.load(RECIPES.parent / recipe["checkpoint"])
    for gpu, entry in recipe["tensorrt"].items():
        shapes = Shapes.of(settings, entry["capacity"], entry["batch"], quadratic=entry["quadratic"])
        found = footprint(settings, entry["precision"], shapes, adapter_rank=32)
        assert entry["batch"] <= found.slots(GPUS[gpu].memory)
        assert entry["capacity"] <= settings.max_positions
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
    with Growth() as growth, Checkpoint.open(tmp_path) as checkpoint:
        assert checkpoint.parameters == official_shapes.PARAMETERS["14b"]
        drawn = draw(checkpoint, target=TENSORRT, precision="bfloat16", capacity=4096, location="model.data")
        shapes = Shapes.of(checkpoint.config, 4096)
        found = footprint(checkpoint.config, "bfloat16", shapes, weights=drawn.weights.total_bytes)
    assert end == 27_012_147_200
    assert end < found.weights < 1.001 * end
    assert len(drawn.model.SerializeToString()) < 4_000_000
    assert growth.bytes < PLANNING_BYTES


def test_gpu_that_is_too_small_is_refused_with_the_figures() -> None:
    found = need("14b")
    with pytest.raises(
        BundleError, match=r"RTX4090-24G has 24\.00 GB, one sequence needs 29\.9\d GB: weights 27\.11 GB"
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
     ({"chunk": 9999}, r"chunk: expected 32 \(block\) to 4096 \(capacity\), found 9999"),
     ({"quadratic": 1}, "quadratic: expected 0 or 2 to 32, found 1"),
     ({"quadratic": 33}, "quadratic: expected 0 or 2 to 32, found 33")],
)  # fmt: skip
def test_shapes_out_of_range_are_refused(changes: dict[str, int], words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        Shapes.of(config("3b"), 4096, **changes)


def test_profiles_are_steps_blocks_chunks_and_quadratic_passes() -> None:
    step, block, prefill, quadratic = every = Shapes.of(config("3b"), 4096, batch=8, chunk=256).profiles()
    assert (step.seq, block.seq[2], prefill.seq[2]) == ((1, 1, 1), 32, 256)
    assert (quadratic.seq[2], quadratic.rows[2]) == (16 * 17, 16 * 16)
    assert [one.batch[2] for one in every] == [8, 8, 2, 2]
    assert {one.length[2] for one in every} == {4096}
    assert {one.rows[0] for one in every} == {0}


@pytest.mark.parametrize("longest", [2, 8, 16, 32])
def test_the_longest_quadratic_draft_is_stated_and_paid_for(longest: int) -> None:
    """A call of two rows, each with L (L + 1) tokens and L * L rows of logits in float32 and, before, in 16 bits."""
    shapes = Shapes.of(config("8b"), 4096, quadratic=longest)
    assert Compilation("tensorrt", "11", ("9.0",), shapes.profiles()).quadratic_length == max(longest, 5)
    found = footprint(config("8b"), "bfloat16", shapes, weights=0)
    logits = 2 * longest**2 * 131_072 * 6
    assert logits < found.workspace
    if longest == 32:  # most of it, where smaller drafts leave activations and copies of the cache as much
        assert found.workspace < (1 + MARGIN * 0.478) * logits
    assert found.logits_per_slot == 32 * 131_072 * 4  # a block's; more of them go to the host's memory


def test_without_quadratic_passes_nothing_is_paid_for_them() -> None:
    shapes = [Shapes.of(config("8b"), 4096, batch=1, quadratic=longest) for longest in (0, 16)]
    assert len(shapes[0].profiles()) == 3
    without, with_ = (footprint(config("8b"), "bfloat16", one, weights=0).workspace for one in shapes)
    assert with_ - without > 0.8 * 16**2 * 131_072 * 6


def test_the_graphs_copies_of_keys_and_values_are_paid_for() -> None:
    """Of one layer, both, for all rows of a call at full capacity: TensorRT-RTX 1.7 took 1.08 GB."""
    for batch, capacity, beside in ((16, 16384, 0.588e9), (26, 32768, 0.968e9)):
        copies = 2 * batch * 1024 * capacity * 2
        workspace = need("8b", capacity=capacity, batch=batch, quadratic=0).workspace
        assert copies < workspace < copies + MARGIN * beside


@pytest.mark.parametrize(("capacity", "longest"), [(5, 0), (6, 2), (256, 15), (271, 15), (272, 16), (4096, 16)])
def test_a_small_capacity_holds_shorter_quadratic_drafts(capacity: int, longest: int) -> None:
    settings = dataclasses.replace(config("3b"), block_size=4)
    assert Shapes.of(settings, capacity).quadratic == longest


def test_a_quadratic_pass_beyond_the_capacity_is_refused() -> None:
    words = "quadratic: a draft of 32 needs a pass of 1056 tokens, the capacity is 1024"
    with pytest.raises(CheckpointError, match=words):
        Shapes.of(config("3b"), 1024, quadratic=32)


# The tower


def test_a_text_model_pays_nothing_for_pictures() -> None:
    """And the language model of a checkpoint with a tower pays for the rows that its largest call reads."""
    assert need("8b").tower == 0
    shapes = Shapes.of(config("8b"), 4096, 16)
    assert not any({"image_rows", "image_index"} & set(one) for one in ranges_of("8b", shapes))
    text, seeing = (footprint(config(size), "bfloat16", shapes, weights=0) for size in ("8b", "vlm-8b"))
    rows = max(one.images[2] for one in shapes.profiles()) * 4096 * 4
    assert 0 < seeing.workspace - text.workspace < 1.1 * rows


def ranges_of(size: str, shapes: Shapes) -> list[dict[str, list[list[int]]]]:
    return [input_ranges(one, config(size), shapes.capacity, adapter=False) for one in shapes.profiles()]


def test_every_profile_reads_rows_of_pictures() -> None:
    """From the one that nobody looks at to one for every token: a prompt's chunk may be of any length."""
    shapes = Shapes.of(config("vlm-8b"), 4096, batch=8, chunk=256)
    for profile, ranges in zip(shapes.profiles(), ranges_of("vlm-8b", shapes), strict=True):
        most = profile.batch[2] * profile.seq[2]
        assert ranges["image_rows"] == [[1, 4096], [1, 4096], [most, 4096]]
        assert ranges["image_index"] == ranges["input_ids"]


def test_a_towers_profiles_hold_every_picture_that_can_be_asked_for() -> None:
    vision = config("vlm-8b").vision
    assert vision is not None
    cell, most = vision.patch * vision.merge, MOST_IMAGE_SIZE // vision.patch
    small, large = tower_patches(vision)
    assert small[0] == large[0] == (cell // vision.patch) ** 2, "one cell, whatever the profile"
    assert (small[2], large[2]) == (PASS_PATCHES, most**2)
    assert all(count % 4 == 0 for one in (small, large) for count in one)
    assert tower_ranges(large, vision)["patches"][2] == [10_000, 588]
    assert tower_ranges(small, vision)["pictures"] == [[count] for count in small]


@pytest.mark.parametrize(
    ("side", "expected"),
    [(110, ((4, 1024, 4096), (4, 7500, 10_000))), (64, ((4, 1024, 4096),)), (10, ((4, 100, 100),)), (3, ((4, 4, 4),))],
)
def test_a_smaller_tower_has_smaller_profiles(side: int, expected: Any) -> None:
    vision = config("vlm-8b").vision
    assert vision is not None
    assert tower_patches(dataclasses.replace(vision, side=side)) == expected


def test_a_towers_pass_takes_no_more_than_is_planned_for() -> None:
    """What TensorRT-RTX 1.7 took for a layer of it at 10,000 patches, on compute capability 8.9."""
    vision = config("vlm-8b").vision
    assert vision is not None
    for precision, scratch in (("bfloat16", 444_149_248), ("fp8", 533_588_992), ("float32", 13_091_840_000)):
        workspace = need("vlm-8b", precision).tower - 2 * TOWER_PARAMETERS * (2 if precision == "float32" else 1)
        assert scratch < workspace


def test_a_towers_weights_are_two_bytes_a_parameter() -> None:
    checkpoint = Checkpoint.of_shapes(config("vlm-8b"), 0)
    drawn = draw_tower(checkpoint, target=TENSORRT, precision="bfloat16", location="none")
    assert 0 < drawn.weights.total_bytes / (2 * TOWER_PARAMETERS) - 1 < MARGIN * 0.008
    given = footprint(config("vlm-8b"), "bfloat16", Shapes.of(config("vlm-8b"), 4096), tower_weights=0)
    assert need("vlm-8b").tower - given.tower == drawn.weights.total_bytes

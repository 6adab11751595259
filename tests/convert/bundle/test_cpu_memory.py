"""What the released sizes need on a CPU, by their shapes, and the table of the documents that says it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from trimode.engines.onnx.slots import Slots
from trimode.errors import CheckpointError
from trimode_convert.bundle.cpu_memory import CpuMemory, cpu_memory
from trimode_convert.bundle.onnx_bundle import BundleOptions, outline
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.checkpoint.config import ModelConfig
from trimode_convert.graph.precisions import ONNXRUNTIME

from tests.support import checkpoints as factory
from tests.support import official_shapes, vision_checkpoints
from tests.support.layout import ROOT

CAPACITY = 2048
GB = 10**9
PAGE = ROOT / "docs" / "guides" / "quality-and-speed.md"


@cache
def need(size: str, precision: str) -> CpuMemory:
    with TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(official_shapes.config(size)))
        config = ModelConfig.load(Path(folder))
    return cpu_memory(config, precision, CAPACITY, adapter_rank=official_shapes.ADAPTER_RANK)


@pytest.mark.parametrize(("size", "bytes_a_token"), [("3b", 212_992), ("8b", 278_528), ("14b", 327_680)])
def test_a_slot_holds_keys_and_values_in_float32_in_every_bucket(size: str, bytes_a_token: int) -> None:
    buckets = 64 + 128 + 256 + 512 + 1024 + CAPACITY
    assert need(size, "int4").kv_per_slot == buckets * bytes_a_token
    assert need(size, "int4").total(3) == need(size, "int4").weights + 3 * buckets * bytes_a_token


def test_a_bundle_takes_what_its_shapes_say(tmp_path: Path) -> None:
    with Checkpoint.open(factory.write(tmp_path)) as checkpoint:
        found = CpuMemory.of(outline(checkpoint, BundleOptions("int8", 256)).manifest)
        rank = 0 if checkpoint.adapter is None else checkpoint.adapter.rank
        assert found == cpu_memory(checkpoint.config, "int8", 256, adapter_rank=rank)


def test_the_engine_has_an_array_for_each_bucket() -> None:
    """Which is what a slot's bytes are counted by."""
    slots = Slots(planes=4, heads=2, head_dim=8, buckets=(64, 128, 200), max_slots=1)
    slot = slots.allocate(block=True)
    for length in (64, 128, 200):
        slots.reserve(slot, length)
    assert sum(array.nbytes for array in slots._arrays.values()) == 4 * 2 * 8 * 4 * (64 + 128 + 200)


@pytest.mark.parametrize("size", official_shapes.SIZES)
def test_the_guide_says_what_is_computed(size: str) -> None:
    for precision in ONNXRUNTIME.precisions:
        found = need(size, precision)
        figures = (found.weights, found.kv_per_slot, found.total(1))
        resident = (1.4 * found.weights + found.kv_per_slot) / GB  # as the page says
        line = f"| {size} | {precision} | {' | '.join(f'{value / GB:.2f}' for value in figures)} | {resident:.1f} |"
        assert line in PAGE.read_text().splitlines(), f"{PAGE.name} needs the line {line}"


def test_a_precision_of_gpus_is_refused() -> None:
    with pytest.raises(CheckpointError, match="precision: onnxruntime has float32, int8, int4, got 'fp8'"):
        need("3b", "fp8")


def test_the_vision_language_model_needs_what_its_recipe_says(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(official_shapes.vision_config()))
    config = ModelConfig.load(tmp_path)
    assert Checkpoint.of_shapes(config).parameters == 8_918_034_432
    said = " ".join((ROOT / "build" / "vlm-8b.yaml").read_text().replace("#", " ").split())
    for precision in ONNXRUNTIME.precisions:
        found = cpu_memory(config, precision, 4096)
        assert f"{found.weights / GB:.2f} GB in {precision}" in said
        assert f"a slot takes at most {found.kv_per_slot / GB:.2f} GB" in said


def test_a_towers_weights_are_counted(tmp_path: Path) -> None:
    with Checkpoint.open(vision_checkpoints.write(tmp_path / "checkpoint")) as checkpoint:
        draft = outline(checkpoint, BundleOptions("int8"))
        found = cpu_memory(checkpoint.config, "int8", draft.manifest.capacity)
    assert CpuMemory.of(draft.manifest).weights == found.weights == draft.weight_bytes

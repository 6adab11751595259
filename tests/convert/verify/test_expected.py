"""The rows that a bundle expects: which passes they are of, which logits are kept, and that a graph gives them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trimode.bundle.expected_rows import noise
from trimode_convert.bundle.onnx_bundle import BundleOptions
from trimode_convert.checkpoint.checkpoint import Checkpoint
from trimode_convert.graph.precisions import TENSORRT
from trimode_convert.verify.expected import ROWS, SPREAD, TOP, expected_rows
from trimode_convert.verify.numpy_model import forward
from trimode_convert.verify.numpy_tower import encode
from trimode_convert.verify.passes import BundleRunner
from trimode_convert.verify.verify import FLOAT32_TOLERANCE, INT8_RMS, RMS, compare, sample_passes
from trimode_convert.verify.vision import SAMPLES

from tests.support import checkpoints as factory
from tests.support.layout import ROOT
from tests.support.onnx_bundles import build

NANO = ROOT / "checkpoints" / "nano"


def test_the_passes_have_the_shapes_in_which_kernels_were_wrong() -> None:
    with Checkpoint.open(NANO) as nano:
        passes = sample_passes(nano.config, 2048, adapter=True)
        assert nano.config.num_heads > nano.config.num_kv_heads, "queries are grouped"
    kept = max(step.start + len(step.tokens) for step in passes if step.keep)
    behind = {step.name: len(step.tokens) for step in passes if not step.keep and step.start < kept}
    assert behind == {"token behind a gap": 1, "block behind a gap": 8}
    shown = {step.name: len(step.tokens) for step in passes if not step.causal and step.start == kept}
    assert shown == {"block": 32, "short block": 8, "block with adapter": 32}
    assert [len(step.tokens) for step in passes if step.name == "verification" and step.causal] == [32]


def test_the_largest_logits_are_kept_and_some_of_the_others() -> None:
    with Checkpoint.open(NANO) as nano:
        rows = expected_rows(nano, 2048, "bfloat16")
        passes = sample_passes(nano.config, 2048, adapter=True)
        whole = forward(nano, passes)
    assert rows.tolerance == RMS["bfloat16"]
    assert len(rows.to_json()) < 60_000
    for one, step, logits in zip(rows.passes, passes, whole, strict=True):
        assert (one.name, one.start, one.keep) == (step.name, step.start, step.keep)
        assert len(one.want) == min(ROWS, len(step.tokens)) and one.want[-1] == len(step.tokens) - 1
        for row, ids, kept in zip(one.want, one.ids, one.logits, strict=True):
            assert len(set(ids)) == len(ids) == TOP + SPREAD
            assert list(ids[:TOP]) == np.argsort(-logits[row], kind="stable")[:TOP].tolist()
            np.testing.assert_allclose(kept, logits[row, list(ids)], rtol=1e-5)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("int8", INT8_RMS), ("fp8", RMS["fp8"])])
def test_the_tolerance_is_the_precisions(tmp_path: Path, precision: str, tolerance: float) -> None:
    with Checkpoint.open(factory.write(tmp_path / "checkpoint")) as checkpoint:
        assert expected_rows(checkpoint, 128, precision).tolerance == tolerance


@pytest.mark.parametrize("capacity", [2, 5, 17, 64, 100])
def test_a_short_capacity_has_shorter_passes(tmp_path: Path, capacity: int) -> None:
    with Checkpoint.open(factory.write(tmp_path / "checkpoint")) as checkpoint:
        rows = expected_rows(checkpoint, capacity, "float32")
    assert rows.passes
    assert all(one.start + len(one.tokens) <= capacity and one.tokens for one in rows.passes)


def test_the_graph_of_a_plan_gives_them_with_its_gaps(tmp_path: Path) -> None:
    """In the scatter form a pass behind a gap writes behind all that is kept, and its mask hides what lies between."""
    build(NANO, tmp_path / "graph", BundleOptions("float32", 256, target=TENSORRT))
    with Checkpoint.open(NANO) as nano:
        passes = sample_passes(nano.config, 256, adapter=True)
        expected = forward(nano, passes)
    for step, ours, right in zip(passes, BundleRunner(tmp_path / "graph").run(passes), expected, strict=True):
        assert compare(step.name, ours, right, "float32").worst <= FLOAT32_TOLERANCE, step.name


def test_pictures_of_noise_are_the_plain_towers(vlm_kit: Path) -> None:
    """Of each picture some cells, the first and the last among them, and numbers from all over a row."""
    with Checkpoint.open(vlm_kit / "checkpoints" / "plain") as checkpoint:
        rows = expected_rows(checkpoint, 128, "bfloat16")
        assert [(one.across, one.down) for one in rows.pictures] == [*SAMPLES]
        for one in rows.pictures:
            pixels = np.array(noise(one.seed, 3 * 28 * one.down * 28 * one.across), np.float32)
            whole = encode(checkpoint, pixels.reshape(3, 28 * one.down, 28 * one.across))
            assert one.cells[0] == 0 and one.cells[-1] == one.across * one.down - 1
            assert one.channels[0] == 0 and one.channels[-1] == checkpoint.config.hidden_size - 1
            np.testing.assert_allclose(one.values, whole[np.ix_(one.cells, one.channels)], rtol=1e-5)
    assert len({one.seed for one in rows.pictures}) == len(SAMPLES)

"""The measurement of a conversion's memory: its checkpoint, its refusals, and what the figures kept are of."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trimode_convert.tensorrt.footprint import build_cost
from trimode_perf import conversion
from trimode_perf.common.published import CONFIGS, TINY, tensors

ROOT = Path(__file__).parents[2]
KEPT: dict[str, Any] = json.loads((ROOT / "perf" / "results" / "conversion.json").read_text(encoding="utf-8"))
GPU_GUIDE = (ROOT / "docs" / "guides" / "gpu.md").read_text(encoding="utf-8")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny model in place of 3B."""
    monkeypatch.setitem(CONFIGS, "3b", {**CONFIGS["3b"], **TINY})


def test_a_run_is_written_and_leaves_nothing_behind(tiny: None, tmp_path: Path) -> None:
    out, scratch = tmp_path / "it.json", tmp_path / "scratch"
    scratch.mkdir()
    assert conversion.main(["--out", str(out), "--scratch", str(scratch)]) == 0
    found = json.loads(out.read_text())
    assert list(scratch.iterdir()) == []
    assert set(found) == set(KEPT)
    assert set(found["runs"]) == set(KEPT["runs"])
    assert all(0 < run["peak_memory_bytes"] < conversion.LIMIT for run in found["runs"].values())


def test_too_small_a_disk_is_refused_with_the_figures(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10**9))
    assert conversion.main(["--scratch", str(tmp_path)]) == 1
    assert "needs 2.1 GB free, there are 1.0; try --layers" in capsys.readouterr().err


def test_a_peak_over_the_limit_fails(tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "LIMIT", 10**6)
    assert conversion.main(["--out", str(tmp_path / "it.json"), "--scratch", str(tmp_path)]) == 1


def test_the_kept_figures_are_of_the_whole_3b_and_under_4_gib() -> None:
    config = CONFIGS["3b"]
    parameters = sum(math.prod(shape) for shape in tensors(config).values())
    assert (KEPT["layers"], KEPT["parameters"]) == (config["num_hidden_layers"], parameters)
    assert 0 < KEPT["checkpoint_bytes"] - 2 * parameters < 10**5  # the header
    assert KEPT["limit_bytes"] == conversion.LIMIT == 4 * 2**30
    assert max(run["peak_memory_bytes"] for run in KEPT["runs"].values()) < conversion.LIMIT
    assert KEPT["runs"]["tensorrt bfloat16"]["bundle_bytes"] > 2 * parameters
    cost = build_cost(KEPT["checkpoint_bytes"], 2 * parameters, "bfloat16")
    assert KEPT["estimated_not_run"]["memory_bytes"] == cost.memory


def test_the_gpu_guide_has_the_kept_figure() -> None:
    run = KEPT["runs"]["tensorrt bfloat16"]
    assert f"{run['peak_memory_bytes'] / 1e6:.0f} MB" in GPU_GUIDE
    assert "make conversion" in GPU_GUIDE

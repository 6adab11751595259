"""The card's plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trimode_perf.quality import plots


def test_a_curve_has_the_points_of_its_block(results: dict[str, Any]) -> None:
    assert [run["denoise_steps"] for run in plots._curve(results, 8, True)] == [1, 2, 4, 8]
    assert [run["threshold"] for run in plots._curve(results, 8, False)] == [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0]


def test_without_an_adapter_there_is_one_row_of_bars(results: dict[str, Any], tmp_path: Path) -> None:
    results["runs"] = [run for run in results["runs"] if not run["adapter"]]
    results["settings"]["adapter"] = False
    plots.draw(results, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"accuracy.png", "acceptance.png"}

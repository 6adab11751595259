"""Figures and their files."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib import pyplot
from trimode_perf.common.plots import figure, powers_of_two


def test_a_figure_is_written_where_it_belongs(tmp_path: Path) -> None:
    with figure(tmp_path / "new" / "it.png", 2, 2) as axes:
        axes.plot((1, 2, 4), (1, 2, 3))
        powers_of_two(axes, (1, 2, 4), "x", "y")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4"]
    assert (tmp_path / "new" / "it.png").read_bytes().startswith(b"\x89PNG")


def test_a_figure_that_fails_is_closed_and_not_written(tmp_path: Path) -> None:
    with pytest.raises(KeyError), figure(tmp_path / "it.png", 2, 2):
        raise KeyError("rows")
    assert pyplot.get_fignums() == [] and list(tmp_path.iterdir()) == []

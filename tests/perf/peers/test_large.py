"""The command of the model of 1.03 G parameters, at a tiny shape."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from trimode.config import ServerConfig
from trimode_perf.common.progress import MeasureError, Pace
from trimode_perf.common.published import TINY
from trimode_perf.peers import grid, large
from trimode_perf.peers.table import OURS_INT4, OURS_INT8

SMALL = {**large.SHAPE, **TINY}


def test_the_shape_has_a_thousand_million_parameters() -> None:
    assert 1.02e9 < large.parameters(large.SHAPE) < 1.04e9
    assert "needs 6 GB of disk and some 6 GB of memory" in " ".join(large.parser().format_help().split())


@pytest.mark.subprocess
def test_both_widths_are_timed_in_turn_and_nothing_stays(tmp_path: Path) -> None:
    said: list[str] = []
    config = ServerConfig(bundle=tmp_path, threads=1)
    python = Path(sys.executable)
    found = large.measure(SMALL, python, tmp_path, config, Pace(0.01), lambda done, text: said.append(text))
    assert found["failures"] == {}
    engines = [OURS_INT8, OURS_INT4, *large.PEERS]
    assert [(row["engine"], row["tokens"]) for row in found["rows"]] == [
        (name, size) for name in engines for size in large.SIZES
    ]
    said_of = [claim.text for claim in large.claims(found)]
    assert len(said_of) == len(grid.claims(found)) == 6 and all(" G parameters, a pass" in one for one in said_of)
    assert "| llama.cpp Q4_0 |" in large.text(found)
    assert "| engine | 1 | 8 | 32 |" in large.text(found)
    assert list(tmp_path.iterdir()) == []
    assert said[:3] == ["writing random weights", "converting to int8", "converting to int4"]
    assert said[3:] == ["llama.cpp's files", "passes in turn"]


def test_a_disk_that_is_full_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "DISK_BYTES", 1 << 60)
    with pytest.raises(MeasureError, match=r"GB free, there are .*; try --scratch"):
        large.measure(SMALL, Path("python"), tmp_path, ServerConfig(bundle=tmp_path), Pace(0.01))
    assert list(tmp_path.iterdir()) == []


def test_a_peer_that_failed_is_named() -> None:
    found = {"rows": [], "causal": False, "context": 1, "rounds": 5, "sizes": [1], "parameters": 1.03e9}
    text = large.text({**found, "failures": {"llama.cpp Q4_0": "no memory"}})
    assert text.startswith("1.03 G parameters")
    assert text.endswith("llama.cpp Q4_0 failed: no memory")

"""The part of auto's replay: shares of the best fixed choice, and what must hold of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trimode_perf.speed import report
from trimode_perf.speed.speculation.auto_replay import PART, best, claims, overall, plot, section
from trimode_perf.speed.speculation.bench import FIXED, LOADS

BASE = {name: 2.0 for name in FIXED}


def found(auto: float, **fixed: float) -> dict[str, Any]:
    taken = {**BASE, **fixed, "auto": auto}
    loads = {str(load): taken for load in LOADS}
    by = {"loads": {"flat": loads}, "full": {"flat": loads}, "domains": {"flat": {"sum": taken}}}
    return {"auto_replay": {"met": 10, "answers": 2, **by}}


def test_auto_is_set_against_the_best_fixed_choice() -> None:
    assert best({**BASE, "linear 8": 1.0, "auto": 0.8}) == ("linear 8", 1.25)
    name, share = overall(found(1.0, **{"linear 8": 1.25})["auto_replay"])
    assert (name, round(share, 3)) == ("linear 8", 1.25)


def test_what_must_hold() -> None:
    assert [claim.holds for claim in claims(found(1.9))] == [True] * 4
    assert [claim.holds for claim in claims(found(2.1))] == [False] * 4


def test_it_is_shown() -> None:
    shown = section(found(1.6, **{"linear 8": 1.2}))
    assert "0.75 (linear 8)" in shown and "| sum |" in shown


def test_it_is_a_part_of_the_report() -> None:
    assert PART in report.PARTS


def test_a_device_has_a_panel(tmp_path: Path) -> None:
    data = found(1.6)
    loads = data["auto_replay"]["loads"]
    loads["steep"] = loads["flat"]
    plot(data, tmp_path / "auto.png")
    assert (tmp_path / "auto.png").stat().st_size > 0

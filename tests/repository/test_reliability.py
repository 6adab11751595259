"""perf/RELIABILITY.md is what its records say: those of a run of the tests of faults, of soaks and of fuzzes."""

from __future__ import annotations

import json
from pathlib import Path

from scripts import render_reliability
from tests.support.layout import ROOT


def row(seconds: float | None, answer: str, over: str = "HTTP") -> dict[str, object]:
    return {"fault": "SIGKILL to stub", "over": over, "seconds": seconds, "answer": answer}


def test_the_page_is_that_of_its_record() -> None:
    record = json.loads(render_reliability.RECORD.read_text(encoding="utf-8"))
    soak = json.loads(render_reliability.SOAK.read_text(encoding="utf-8"))
    others = [
        json.loads(one.read_text(encoding="utf-8")) if one.is_file() else None for one in render_reliability.RECORDS[2:]
    ]
    assert record["command"].startswith("make test-faults")
    assert soak["command"].startswith("make soak")
    assert render_reliability.PAGE.read_text(encoding="utf-8") == render_reliability.page(record, soak, *others)


def test_operations_has_the_figures_of_the_soaks_record() -> None:
    soak = json.loads(render_reliability.SOAK.read_text(encoding="utf-8"))
    held = [one["memory_mib"] for one in (soak["before"], *soak["minutes"], soak["after"])]
    most = {name: round(max(one[name] for one in held)) for name in ("stub", "trimode-serve", "tritonserver")}
    said = " ".join((ROOT / "docs" / "operations.md").read_text(encoding="utf-8").split())
    assert f"these parts are {round(sum(soak['bound_mib'].values()))} MiB. [{len(soak['minutes'])} minutes of" in said
    assert f"({soak['callers']} callers, all modes" in said
    ending = f"took {most['stub']} MiB at most; the front had {most['trimode-serve']} MiB"
    assert f"{ending} and tritonserver {most['tritonserver']}." in said


def test_a_fault_that_was_tried_often_is_one_row_with_the_median() -> None:
    tried = [row(1.0, "engine_failed"), row(9.0, "engine_failed"), row(2.04, "unavailable"), row(None, "whole", "gRPC")]
    assert render_reliability.rows({"rows": tried}) == [
        "| SIGKILL to stub | HTTP | `engine_failed`, `unavailable` | 2.0 s |",
        "| SIGKILL to stub | gRPC | whole | served on |",
    ]


def test_stops_are_counted_by_what_ran() -> None:
    stops = [{"running": running, "seconds": seconds, "status": 0} for running, seconds in ((2, 3), (0, 1), (0, 2))]
    assert render_reliability.stops({"stops": stops}) == [
        "| 0 | 2 | 2 | 1.5 s | 2.0 s |",
        "| 2 | 1 | 1 | 3.0 s | 3.0 s |",
    ]


def test_another_record_makes_another_page(tmp_path: Path) -> None:
    hardware = {"cores": 2, "memory_gib": 24}
    head = {"command": "make test-faults", "commit": "abc", "measured_at": "now", "hardware": hardware}
    (record := tmp_path / "record.json").write_text(json.dumps({**head, "rows": [row(1.0, "whole")]}))
    assert (
        render_reliability.main(
            [str(record), str(render_reliability.SOAK), *[str(tmp_path / "none")] * 4, str(tmp_path / "page.md")]
        )
        == 0
    )
    page = (tmp_path / "page.md").read_text()
    assert "| SIGKILL to stub | HTTP | whole | 1.0 s |" in page
    assert "\n## Under mixed load\n" in page
    assert ROOT == render_reliability.ROOT

"""The report and the README are of their results."""

from __future__ import annotations

from pathlib import Path

from trimode_perf.common import PERF
from trimode_perf.speed import MOST_SECONDS, report


def test_the_report_is_what_its_results_say() -> None:
    assert report.text(report.read(PERF / "results")) == (PERF / "RESULTS.md").read_text(encoding="utf-8")


def test_every_part_has_a_name_of_its_own_and_says_how_long_it_takes() -> None:
    assert len({part.name for part in report.PARTS}) == len(report.PARTS)
    assert all(bool(part.seconds_hint) == bool(part.measure) for part in report.PARTS)


def test_a_run_that_names_no_part_takes_twelve_minutes_and_measures_what_the_pages_are_written_from() -> None:
    measured = [part for part in report.PARTS if part.measure and not part.apart]
    assert sum(part.seconds_hint for part in measured) <= MOST_SECONDS == 12 * 60
    assert {*report.HEAD, "growth", "startup", "concurrency"} <= {name for part in measured for name in part.reads}


def test_a_part_that_was_not_measured_has_no_section_and_claims_nothing() -> None:
    found = report.read(PERF / "results")
    del found["peers"], found["int8"]
    text = report.text(found)
    assert "## int8" not in text
    assert "torch eager" not in text
    assert "## Auto, by domain" in text


def test_a_part_that_was_measured_by_itself_says_when() -> None:
    found = report.read(PERF / "results")
    found["int8"] |= {"measured_at": found["bench"]["measured_at"]}  # as if they had been measured together
    others = report.text(found).count("Measured by itself")
    found["int8"] = {**found["int8"], "measured_at": "2031-01-01 00:00 UTC", "command": "make perf PART=int8"}
    said = "Measured by itself, by `make perf PART=int8` on 2031-01-01 00:00 UTC.\n"
    assert report.text(found).count("Measured by itself") == others + 1
    assert said in report.text(found).partition("## int8")[2].partition("\n## ")[0] + "\n"
    found["int8"]["hardware"] = {**found["int8"]["hardware"], "cores": 64}
    assert "00:00 UTC on AMD EPYC, 64 cores" in report.text(found)


def test_the_report_is_not_written_without_what_its_head_needs(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    assert report.write(tmp_path, None) is None
    assert not (tmp_path / "RESULTS.md").exists()


def test_the_report_and_the_blocks_of_pages_are_written_from_the_results(tmp_path: Path) -> None:
    (tmp_path / "results").symlink_to(PERF / "results")
    blocks = report.blocks(report.read(PERF / "results"))
    (tmp_path / "docs").mkdir()
    for name in blocks:
        (tmp_path / name).write_text("# A\n\n<!-- results -->\nold\n<!-- /results -->\n\nB\n")
    assert report.write(tmp_path, tmp_path) == tmp_path / "RESULTS.md"
    assert (tmp_path / "RESULTS.md").read_bytes() == (PERF / "RESULTS.md").read_bytes()
    for name, block in blocks.items():
        assert (tmp_path / name).read_text() == f"# A\n\n<!-- results -->\n{block}\n<!-- /results -->\n\nB\n"
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "auto.png",
        "latency.png",
        "steps.png",
        "throughput.png",
    ]


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    found = report.read(PERF / "results")
    report.draw({"sweep": found["sweep"], "perf_analyzer": {"missing": "no network", "rows": []}}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["steps.png"]

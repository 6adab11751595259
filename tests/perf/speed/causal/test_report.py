"""The report of a checkpoint that was not trained to denoise is of its results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trimode.bundle.manifest import CAUSAL_MODES
from trimode.config import ServerConfig
from trimode_perf.common import PERF
from trimode_perf.speed import Context, Options, lengths
from trimode_perf.speed.causal import report

FOUND = report.read("smol", PERF / "results")


def test_the_report_is_what_its_results_say(tmp_path: Path) -> None:
    page = (PERF / "RESULTS-smol.md").read_text(encoding="utf-8")
    assert report.text(FOUND) == page
    (tmp_path / "results").symlink_to(PERF / "results")
    assert report.write("smol", tmp_path) == tmp_path / "RESULTS-smol.md"
    assert (tmp_path / "RESULTS-smol.md").read_text(encoding="utf-8") == page
    assert report.shown("smol", tmp_path / "results") in page
    assert report.write("other", tmp_path) is None


def test_a_part_that_was_not_measured_has_no_section() -> None:
    few = {name: data for name, data in FOUND.items() if name == "peers"}
    text = report.text(few)
    assert "## Against what people could use instead" in text
    assert "## Many at once" not in text


def test_every_part_has_a_name_of_its_own_and_says_how_long_it_takes() -> None:
    assert len({part.name for part in report.PARTS}) == len(report.PARTS)
    assert all(bool(part.seconds_hint) == bool(part.measure) for part in report.PARTS)
    assert sum(part.seconds_hint for part in report.PARTS) <= 20 * 60
    assert not any(part.apart for part in report.PARTS)


def test_results_of_a_model_have_its_name() -> None:
    made = report.book("m")
    assert (made.prefix, made.head, made.parts) == ("m-", report.HEAD, report.PARTS)


def test_prompts_are_timed_in_each_precision(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def by_length(one: Context, runtime: Any, pace: Any) -> dict[str, Any]:
        asked.append((one.options.bundle, round(pace.seconds, 3)))
        row = {"tokens": 64, "first_milliseconds": {"median": 32.0, "low": 30.0, "high": 40.0}}
        return {"rounds": 3, "rows": [row]}

    monkeypatch.setattr(lengths, "by_length", by_length)
    monkeypatch.setattr(Context, "runtime", None)
    options = Options(Path("a"), int8_bundle=Path("b"))
    found = report.measure_lengths(Context(options, ServerConfig(bundle=Path("a")), 10.0))
    assert asked == [(Path("a"), 5.0), (Path("b"), 5.0)]
    assert "| 64 | 32 (30 to 40) | 32 (30 to 40) | 2.00 | 2.00 |" in report.lengths_section(found)


def test_a_checkpoint_that_cannot_denoise_is_asked_in_one_mode(context: Context) -> None:
    context.runtime.manifest = replace(context.runtime.manifest, modes=CAUSAL_MODES)
    found = lengths.by_length(context, context.runtime, context.pace())
    assert {(row["mode"], row["axis"]) for row in found["rows"]} == {("autoregressive", "prompt")}

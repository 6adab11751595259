"""What is kept of AIPerf's export, and the page that is made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trimode_perf.common.results import read
from trimode_perf.speed import aiperf

EXPORT: dict[str, Any] = {
    "aiperf_version": "0.13.0",
    "input_config": {"models": {"items": [{"name": "nano:auto"}]}},
    "request_count": {"avg": 4.0},
    "error_summary": [],
    "output_sequence_length": {"avg": 50.0, "max": 90.0},
    "spec_decode_steps": {"avg": 2.5},
    "pooled_spec_decode_acceptance_histogram": {"0": 1, "7": 1, "31": 2},
    "request_latency": {"avg": 123.456},
}


def test_ratios_are_kept_and_times_are_not() -> None:
    found = aiperf.kept(EXPORT)
    assert (found["model"], found["requests"], found["errors"]) == ("nano:auto", 4.0, 0)
    assert (found["spec_decode_steps"], found["output_sequence_length"]) == (2.5, 50.0)
    assert found["spec_decode_acceptance_length"] is None
    assert "123" not in json.dumps(found)


def test_a_page_says_where_the_drafts_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiperf, "KEPT", tmp_path / "kept.json")
    monkeypatch.setattr(aiperf, "PAGE", tmp_path / "page.md")
    (tmp_path / aiperf.EXPORT).write_text(json.dumps(EXPORT))
    assert aiperf.main([str(tmp_path)]) == 0
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "| verifications an answer | 2.5 |" in page
    assert [f"| {name} | {share} |" in page for name, share in (("0", 25), ("1 to 7", 25), ("31", 50))] == [True] * 3


def test_a_run_without_drafts_has_none() -> None:
    without = {name: value for name, value in EXPORT.items() if "spec_decode" not in name}
    page = aiperf.page({"measured_at": "today", "runs": [aiperf.kept(without)]})
    assert "| verifications an answer |  |" in page and "| 31 |  |" in page


def test_the_page_is_what_was_kept() -> None:
    assert aiperf.PAGE.read_text(encoding="utf-8") == aiperf.page(read(aiperf.KEPT))

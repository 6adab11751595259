"""The report is of its results."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trimode_perf.common import PERF
from trimode_perf.common.claims import unexpected
from trimode_perf.editing import report


@pytest.fixture
def shipped() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PERF / "results/editing.json").read_text(encoding="utf-8"))
    return found


def test_the_report_is_that_of_its_results(shipped: dict[str, Any]) -> None:
    assert report.text(shipped) == (PERF / "EDITING.md").read_text(encoding="utf-8")


def test_claims_hold_but_for_the_known_one_and_fail_where_figures_are_turned(shipped: dict[str, Any]) -> None:
    assert unexpected(report.claims(shipped)) == []
    assert sum(not claim.holds for claim in report.claims(shipped)) <= 1
    for row in shipped["infill"]:
        if row["way"] == "infill_searched":
            row["exact"] = row["parsed"] = 0
    for row in shipped["revise"]:
        row["harmed"] = 10**6
    shipped["effort"][0]["exact"] = 10**6
    assert not any(claim.holds for claim in report.claims(shipped))
    assert len(unexpected(report.claims(shipped))) == len(report.claims(shipped)) - 1

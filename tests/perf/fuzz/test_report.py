"""What must hold of a fuzz, and its section."""

from __future__ import annotations

from typing import Any

import pytest
from trimode_perf.fuzz.report import claims, section

FOUND: dict[str, Any] = {
    "command": "make fuzz MINUTES=1",
    "commit": "abc",
    "measured_at": "now",
    "machine": {"cores": 2},
    "seed": 0,
    "outcomes": {"HTTP": {"400": 1200, "200": 30}, "gRPC": {"invalid_value": 7}},
    "faults": [],
    "faults_not_shown": 0,
    "canary_every": 1000,
    "canaries": 3,
    "wrong_canaries": 0,
    "restarts": 0,
}


def test_all_holds_where_nothing_was_found() -> None:
    assert all(claim.holds for claim in claims(FOUND))


@pytest.mark.parametrize(
    "found", [{"faults": ["HTTP: 500"]}, {"wrong_canaries": 1}, {"canaries": 0}, {"restarts": 1}], ids=str
)
def test_each_finding_breaks_a_claim(found: dict[str, Any]) -> None:
    assert [claim.holds for claim in claims({**FOUND, **found})].count(False) == 1


def test_the_section_counts_by_face() -> None:
    text = section(FOUND)
    assert "At fault" not in text
    assert "0 crashed" in text
    assert "1,237 requests" in text and "3 of 3 got it" in text
    assert "| HTTP | 1,230 | 400 1,200, 200 30 |" in text


def test_faults_that_the_record_does_not_quote_count() -> None:
    found = {**FOUND, "faults": ["HTTP: 500"], "faults_not_shown": 7}
    assert "8 crashed" in section(found)
    assert "1 times: HTTP: 500\n7 more, which" in section(found)
    assert claims(found)[0].text.startswith("8 requests") and "(7 of them" in claims(found)[0].text

"""Claims as they are printed and counted."""

from __future__ import annotations

import pytest
from trimode_perf.common import claims
from trimode_perf.common.claims import Claim

HOLDS, KNOWN, FAILS = Claim("a is 2", True, "why not"), Claim("b is 3", False, "it knows none"), Claim("c is 4", False)


def test_a_line_says_whether_it_holds_and_why_not() -> None:
    assert claims.text([HOLDS, KNOWN, FAILS]).splitlines() == [
        "pass  a is 2",
        "FAIL  b is 3 (known: it knows none)",
        "FAIL  c is 4",
    ]


def test_only_what_fails_without_a_known_reason_is_unexpected() -> None:
    assert claims.unexpected([HOLDS, KNOWN, FAILS]) == [FAILS]


def test_the_summary_counts_what_holds() -> None:
    assert claims.summary([HOLDS, KNOWN, FAILS]) == "1 of 3 hold"


@pytest.mark.parametrize(
    ("value", "shown"), [(0.96, "0.96"), (0.968, "0.968"), (0.97, "0.97"), (0.96996, "0.9700"), (1.2345, "1.23")]
)
def test_a_figure_has_the_digits_that_tell_it_from_its_bound(value: float, shown: str) -> None:
    assert claims.figure(value, 0.97) == shown


@pytest.mark.parametrize(("found", "status"), [([HOLDS, KNOWN], 0), ([HOLDS, FAILS], 1)])
def test_the_status_is_of_unexpected_failures(
    found: list[Claim], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert claims.conclusion(found) == status
    assert capsys.readouterr().out == f"{claims.text(found)}\n1 of 2 hold\n"

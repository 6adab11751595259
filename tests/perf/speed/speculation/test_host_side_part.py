"""What the report says of the host's side."""

from __future__ import annotations

from typing import Any

from trimode_perf.speed import report
from trimode_perf.speed.speculation import host_side_part

ROWS: list[dict[str, Any]] = [
    {"mode": mode, "rows": rows, "passes": 10, "tokens_a_pass": 1.5, "milliseconds_a_pass": taken}
    for mode, rows, taken in (("auto", 1, 0.09), ("diffusion", 1, 0.11), ("auto", 8, 3.0), ("auto", 32, 0.5))
]


def test_the_figures_stand_beside_the_aims_and_the_worst_mode_counts() -> None:
    found = {"host_side": {"rows": ROWS}}
    text = host_side_part.section(found)
    assert "| diffusion | 1 | 10 | 1.5 | 0.11 | 0.1 |" in text
    assert "| auto | 8 | 10 | 1.5 | 3.0 |  |" in text
    assert [(claim.text, claim.holds) for claim in host_side_part.claims(found)] == [
        ("scheduler and engine take 0.11 ms a pass at 1 at once in diffusion, 0.1 at most", False),
        ("scheduler and engine take 0.50 ms a pass at 32 at once in auto, 0.5 at most", True),
    ]


def test_without_figures_there_is_no_section() -> None:
    assert host_side_part.PART in report.PARTS
    assert not host_side_part.PART.can_read({})

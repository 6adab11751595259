"""What the report says of the host's side."""

from __future__ import annotations

from typing import Any

from trimode_perf.speed import report
from trimode_perf.speed.speculation import host_side_part

ROWS: list[dict[str, Any]] = [
    {"engine": engine, "mode": mode, "rows": rows, "passes": 10, "tokens_a_pass": 1.5, "graphs": 0.9}
    | {"milliseconds_a_pass": taken}
    for engine, mode, rows, taken in (
        ("tensorrt", "auto", 1, 0.09),
        ("tensorrt", "diffusion", 1, 0.11),
        ("tensorrt", "auto", 8, 3.0),
        ("tensorrt", "auto", 32, 0.5),
        ("torch", "auto", 1, 0.08),
    )
]


def test_the_figures_stand_beside_the_aims_and_the_worst_mode_counts() -> None:
    found = {"host_side": {"command": "asked", "rows": ROWS}}
    text = host_side_part.section(found)
    assert "`asked`" in text
    assert "| tensorrt | diffusion | 1 | 10 | 1.5 | 0.9 | 0.11 | 0.1 |" in text
    assert "| tensorrt | auto | 8 | 10 | 1.5 | 0.9 | 3.0 |  |" in text
    assert [(claim.text, claim.holds) for claim in host_side_part.claims(found)] == [
        ("scheduler and TensorRT engine take 0.11 ms a pass at 1 at once in diffusion, 0.1 at most", False),
        ("scheduler and TensorRT engine take 0.50 ms a pass at 32 at once in auto, 0.5 at most", True),
        ("scheduler and PyTorch engine take 0.08 ms a pass at 1 at once in auto, 0.1 at most", True),
    ]


def test_older_rows_are_of_tensorrt_and_count_no_graphs() -> None:
    found = {
        "host_side": {
            "command": "asked",
            "rows": [{name: row[name] for name in row if name not in ("engine", "graphs")} for row in ROWS[:2]],
        }
    }
    assert "| tensorrt | auto | 1 | 10 | 1.5 |  | 0.09 |" in host_side_part.section(found)
    assert "TensorRT engine" in host_side_part.claims(found)[0].text


def test_without_figures_there_is_no_section() -> None:
    assert host_side_part.PART in report.PARTS
    assert not host_side_part.PART.can_read({})

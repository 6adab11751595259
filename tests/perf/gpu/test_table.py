"""What gpu-check says and derives."""

from __future__ import annotations

from typing import Any

from trimode_perf.gpu import table

GPU = {"type": "cuda", "name": "NVIDIA H200", "torch": "2.13.0", "driver": "615.61"}
CPU = {"type": "cpu", "name": "x86_64", "torch": "2.13.0"}
CEILINGS = {"copy_bytes_per_second": 1e12, "operations_per_second": 1e15}


def row(tokens: int, milliseconds: float, *, size: str = "8b", rows: int = 1, context: int = 512) -> dict[str, Any]:
    """A row of passes that must move 1 GB."""
    times = {"median": milliseconds, "low": milliseconds, "high": milliseconds}
    place = {"size": size, "rows": rows, "tokens": tokens, "context": context}
    return {**place, "milliseconds": times, "attention": "fused", "bytes": 10**9, "operations": 10**9}


def test_implied_speeds_are_published_tokens_over_measured_passes() -> None:
    told = table.implied([row(1, 5.0), row(8, 6.0), row(32, 8.0), {**row(64, 1), "size": "tiny"}])
    assert told == [
        {
            "size": "8b",
            "rows": 1,
            "context": 512,
            "implied_tokens_per_second": {
                "autoregressive": 200.0,
                "diffusion": round(2.57 * 1000 / 6, 1),
                "self_speculation without adapter": round(4.52 * 1000 / 16, 1),
                "self_speculation with adapter": round(5.99 * 1000 / 16, 1),
            },
        }
    ]


def test_rows_are_answered_together() -> None:
    (told,) = table.implied([row(1, 5.0, rows=4)])
    assert told["implied_tokens_per_second"] == {"autoregressive": 800.0}  # what was not measured implies nothing


def test_the_table_says_what_was_reached_and_what_was_skipped_and_why() -> None:
    passes = [
        row(1, 2.0),
        row(32, 2.2),
        {"size": "14b", "rows": 32, "tokens": 1, "context": 8192, "skipped": "no room"},
    ]
    found = {
        "device": GPU,
        "command": "make gpu-check",
        "ceilings": CEILINGS,
        "passes": passes,
        "implied": table.implied(passes),
        "parity": {
            "torch": {"engine": "torch 2", "rows": [dict(checkpoint="nano", mode="diffusion", asked=8, same_ids=7)]},
            "onnxruntime": {"skipped": "not here"},
            "tensorrt": {"failed": "RuntimeError: no"},
        },
    }  # fmt: skip
    text = table.text(found)
    for line in (
        "| torch 2 | nano | diffusion | 7 of 8 |",
        "| onnxruntime |  |  | skipped: not here |",
        "| tensorrt |  |  | failed: RuntimeError: no |",
        "| 8b | 1 | 512 | 1 | 2.000 (2.000 to 2.000) | 1.000 | 50% | fused |",
        "| 14b | 32 | 8192 | 1 |  |  |  | skipped: no room |",
        "| 8b | 512 | 50% | 1.10 |",
        "Implied, not measured",
    ):
        assert line in text
    assert "REHEARSAL" not in text
    assert table.text({**found, "device": CPU}).startswith("# REHEARSAL ON A CPU, NOT A GPU RESULT")


def test_arithmetic_is_the_ceiling_where_it_takes_longer() -> None:
    assert table.ceiling({"bytes": 10**9, "operations": 0}, CEILINGS) == 1.0
    assert table.ceiling({"bytes": 10**9, "operations": 2 * 10**12}, CEILINGS) == 2.0

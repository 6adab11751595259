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


def test_the_table_has_the_rows_that_bundles_expect() -> None:
    wrong = "BundleError: the engine answers wrongly"
    expected = [
        {"runtime": "torch", "precision": "fp8", "found": "as expected, relative RMS 3.1e-02", "fault": False},
        {"runtime": "tensorrt", "precision": "float16", "found": wrong, "fault": True},
    ]
    states = {"copies": "ok", "lanes": "ValueError: 3 of 9 values differ"}
    calls = {"calls": 300, "rows": 900, "largest": 2.5e-6, "alone": 1e-6}
    text = table.text(
        {"device": GPU, "command": "make gpu-check", "expected": expected, "calls": calls, "driver": states}
    )
    assert "copies: ok; lanes: ValueError: 3 of 9 values differ." in text
    assert "900 rows in 300 random calls of the torch engine: logits differ from the processor's by 2.5e-06" in text
    assert "## Expected rows" in text
    assert "| torch | fp8 | as expected, relative RMS 3.1e-02 |" in text
    assert f"| tensorrt | float16 | {wrong} |" in text


def attended(variant: str, tokens: int = 1, milliseconds: float | None = None, **more: Any) -> dict[str, Any]:
    """A row of attention that must read 1 GB, so that its least is 1000 microseconds."""
    timed = {} if milliseconds is None else {"milliseconds": {"median": milliseconds}}
    return {"variant": variant, "rows": 1, "tokens": tokens, "length": 1024, "bytes": 10**9, **timed, **more}


def test_attention_alone_is_a_line_a_shape_and_a_column_a_way() -> None:
    found = {
        "device": GPU,
        "command": "make gpu-check",
        "ceilings": CEILINGS,
        "attention": [
            attended("lengths", 32, 1.6),
            attended("longest", 32, 2.0),
            attended("longest", 1, 4.0),
            attended("capacity", 1, failed="a relative error of 3.0e-01, at most 0.01"),
            attended("longest", 8, skipped="no room"),
            {"variant": "flex", "skipped": "torch.compile is not possible here: RuntimeError: no"},
        ],
    }
    text = table.text(found)
    for line in (
        "| rows | tokens | entries | least | capacity | longest | each row | lengths | flex |",
        "| 1 | 1 | 1024 | 1000.0 |  | 4000.0 (25%) |  |  |  |",
        "| 1 | 32 | 1024 | 1000.0 |  | 2000.0 (50%) |  | 1600.0 (62%) |  |",
        "- flex: skipped: torch.compile is not possible here: RuntimeError: no",
        "- attention, capacity, tokens 1, rows 1, entries 1024: failed: a relative error of 3.0e-01, at most 0.01",
        "- longest, tokens 8, rows 1, entries 1024: skipped: no room",
        "- lengths: this project's kernel in the Triton language, over each row's own entries",
    ):
        assert line in text.splitlines()
    without = table.text({name: value for name, value in found.items() if name != "ceilings"})
    assert "| 1 | 1 | 1024 |  |  | 4000.0 |  |  |  |" in without
    assert "## Attention alone" not in table.text({**found, "attention": []})


def test_a_way_that_fails_as_a_whole_is_a_fault_without_a_shape() -> None:
    dead = {"variant": "lengths", "failed": "its process ended with status -11"}
    assert table.attention_fault(dead) == "attention, lengths: failed: its process ended with status -11"

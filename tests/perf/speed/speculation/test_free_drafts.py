"""The part of free drafts: what it asks, and what it says of what it found."""

from __future__ import annotations

from typing import Any

from trimode.runtime import Runtime
from trimode_perf.speed import Context, report
from trimode_perf.speed.speculation.free_drafts import (
    CHANGES,
    FILE,
    PART,
    QUOTING,
    changed,
    claims,
    measure,
    section,
    tasks_of,
)


def test_a_changed_text_differs_at_so_many_places() -> None:
    text = " ".join(f"w{at}" for at in range(50))
    words = changed(text).split(" ")
    assert sum(f"w{at}" not in words for at in range(50)) == 2 + 2  # two changed, two taken out, one put in
    assert "more" in words and words.count("other") == 2
    assert changed(text, 0) == text and changed("word") == "word"


def test_the_file_is_the_models_own_with_a_changed_one_as_its_prediction(runtime: Runtime) -> None:
    file, *quotes = tasks_of(runtime)
    assert (file.prompt.text, len(quotes)) == (FILE, len(QUOTING))
    assert file.drafts["prediction"] and all(task.drafts == {"prompt_lookup": True} for task in quotes)


def test_every_task_is_asked_in_every_mode_that_verifies(context: Context) -> None:
    found = measure(context)
    rows = found["free_drafts"]["rows"]
    assert len(rows) == (1 + len(QUOTING)) * 3
    assert all(row["same"] and row["median"] > 0 for row in rows)
    serial = next(row for row in rows if row["mode"] == "autoregressive")
    assert serial["forwards"] <= serial["forwards_without"] == serial["tokens"] - 1
    shown = section(found)
    assert str(CHANGES) in shown and all(row["task"] in shown for row in rows)


def row(mode: str = "autoregressive", **more: Any) -> dict[str, Any]:
    return {
        "task": "a file",
        "mode": mode,
        "same": True,
        "forwards": 25,
        "forwards_without": 100,
        "median": 2.0,
        **more,
    }


def test_what_must_hold() -> None:
    def held(*rows: dict[str, Any]) -> list[bool]:
        return [claim.holds for claim in claims({"free_drafts": {"rows": list(rows)}})]

    assert held(row(), row("auto", forwards=99)) == [True, True, True]
    assert held(row(forwards=26), row("auto")) == [True, False, True]
    assert held(row(), row("auto", same=False)) == [False, True, True]
    assert held(row(), row("auto", median=1.4)) == [True, True, False]


def test_it_is_a_part_of_the_report() -> None:
    assert PART in report.PARTS

"""Long prompts and answers, on a toy engine."""

from __future__ import annotations

from trimode_perf.speed import Context, lengths


def test_lengths_are_those_that_the_engine_can_hold(context: Context) -> None:
    found = lengths.by_length(context, context.runtime, context.pace())
    asked = {axis: {row["tokens"] for row in found["rows"] if row["axis"] == axis} for axis in ("prompt", "output")}
    assert asked == {"prompt": {64, 128, 256}, "output": {16, 32, 64, 128, 256}}
    assert all(row["first_milliseconds"]["median"] <= row["milliseconds"]["median"] for row in found["rows"])

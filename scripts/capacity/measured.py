"""A replica's curve from what `make perf` measured: perf/results/concurrency.json, or a file like it."""

from __future__ import annotations

import json
from pathlib import Path

from .demand import Demand, Point


class CurveError(Exception):
    """The curve cannot be had, and why."""


def curve(path: Path, mode: str, demand: Demand) -> tuple[str, list[Point]]:
    """Return what was measured, in words, and the points of a mode.

    The rate is tokens per second over the answer's tokens. Prompts are those that were measured: longer ones take more
    time than this says.

    Raises:
        CurveError: it is no such file, or has other modes.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        hardware, rows = found["hardware"], found["rows"]
        points = [
            Point(
                row["concurrency"],
                row["first_p50_ms"] / 1000,
                row["tokens_per_second"]["median"] / demand.answer_tokens,
            )
            for row in rows
            if row["choice"] == mode
        ]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise CurveError(f"{path} is no concurrency.json of make perf: {exc!r}") from exc
    if not points:
        raise CurveError(f"{path} has no mode {mode!r}, only: {', '.join(sorted({row['choice'] for row in rows}))}")
    where = f"{hardware['model']} in {hardware['precision']}, {hardware['engine']}, {hardware['cores']} cores"
    return f"{mode}, measured {found['measured_at']}: {where}", points

"""The section on what the host adds to a pass, from perf/results/host_side.json, which `host-side --out` writes."""

from __future__ import annotations

from ...common.claims import Claim
from ...common.markdown import table
from .. import Data, Found, Part

AIMS = {1: 0.1, 32: 0.5}
"""Milliseconds of the processor a pass at most, by sequences at once."""
COMMAND = "python -m trimode_perf host-side"


def section(found: Found) -> str:
    """Return the figures of every mode and number of sequences, beside the aims."""
    rows = [
        (one["mode"], one["rows"], one["passes"], one["tokens_a_pass"], one["milliseconds_a_pass"], _aim(one["rows"]))
        for one in found["host_side"]["rows"]
    ]
    titles = ("mode", "at once", "passes", "tokens a pass", "ms of processor a pass", "at most")
    return f"""## What the host adds to a pass

Scheduler and TensorRT engine at 8B's shapes, over a device that computes nothing: `{COMMAND}`.

{table(titles, rows)}
"""


def claims(found: Found) -> list[Claim]:
    """Return whether the aims are met, the worst mode of each number of sequences."""
    return [_claim(found["host_side"], rows, aim) for rows, aim in AIMS.items() if _of(found["host_side"], rows)]


def _claim(data: Data, rows: int, aim: float) -> Claim:
    worst = max(_of(data, rows), key=lambda one: one["milliseconds_a_pass"])
    taken = worst["milliseconds_a_pass"]
    text = f"scheduler and engine take {taken:.2f} ms a pass at {rows} at once in {worst['mode']}, {aim:g} at most"
    return Claim(text, taken <= aim)


def _of(data: Data, rows: int) -> list[Data]:
    return [one for one in data["rows"] if one["rows"] == rows]


def _aim(rows: int) -> str:
    return f"{AIMS[rows]:g}" if rows in AIMS else ""


PART = Part("host_side", "what the host adds to a pass", ("host_side",), section=section, claims=claims)

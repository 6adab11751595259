"""The section on what the host adds to a pass, from perf/results/host_side.json, which `host-side --out` writes."""

from __future__ import annotations

from ...common.claims import Claim
from ...common.markdown import table
from .. import Data, Found, Part

ENGINES = {"tensorrt": "TensorRT", "torch": "PyTorch"}
"""What the engines of the rows run on."""
AIMS = {1: 0.1, 32: 0.5}
"""Milliseconds of the processor a pass at most, by sequences at once."""
SHOWN = ("mode", "rows", "passes", "tokens_a_pass", "graphs", "milliseconds_a_pass")


def section(found: Found) -> str:
    """Return the figures of every engine, mode and number of sequences, beside the aims."""
    rows = [
        (_engine(one), *(one.get(name, "") for name in SHOWN), _aim(one["rows"])) for one in found["host_side"]["rows"]
    ]
    titles = ("engine", "mode", "at once", "passes", "tokens a pass", "graphs", "ms of processor a pass", "at most")
    return f"""## What the host adds to a pass

Scheduler and engine at 8B's shapes, over a device that computes nothing: `{found["host_side"]["command"]}`.
What it takes to launch a pass is not among it. Graphs are the share of passes that a CUDA graph would run.

{table(titles, rows)}
"""


def claims(found: Found) -> list[Claim]:
    """Return whether the aims are met, the worst mode of each engine and number of sequences."""
    data = found["host_side"]
    engines = dict.fromkeys(_engine(one) for one in data["rows"])
    asked = ((_of(data, engine, rows), aim) for engine in engines for rows, aim in AIMS.items())
    return [_claim(rows, aim) for rows, aim in asked if rows]


def _claim(rows: list[Data], aim: float) -> Claim:
    worst = max(rows, key=lambda one: one["milliseconds_a_pass"])
    taken, what = worst["milliseconds_a_pass"], f"scheduler and {ENGINES[_engine(worst)]} engine"
    text = f"{what} take {taken:.2f} ms a pass at {worst['rows']} at once in {worst['mode']}, {aim:g} at most"
    return Claim(text, taken <= aim)


def _of(data: Data, engine: str, rows: int) -> list[Data]:
    return [one for one in data["rows"] if (_engine(one), one["rows"]) == (engine, rows)]


def _engine(row: Data) -> str:
    """Return the engine of a row; there was one alone before rows said which."""
    return str(row.get("engine", "tensorrt"))


def _aim(rows: int) -> str:
    return f"{AIMS[rows]:g}" if rows in AIMS else ""


PART = Part("host_side", "what the host adds to a pass", ("host_side",), section=section, claims=claims)

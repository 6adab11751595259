"""The results as Markdown: parity, passes against the roofline, what must hold, implied speed."""

from __future__ import annotations

from typing import Any

from ..common.markdown import spread, table
from .implied import NOTE
from .record import REHEARSED

LEFT = ("engine", "checkpoint", "mode", "same ids", "size", "milliseconds", "attention")
"""Titles of columns that are set to the left."""


def text(found: dict[str, Any]) -> str:
    """Return the whole report."""
    device = found["device"]
    facts = ", ".join(f"{key} {value}" for key, value in device.items() if key not in ("name", "type"))
    lines = [f"# {REHEARSED}", ""] if device["type"] != "cuda" else []
    lines += [f"# {device['name']}", "", f"{facts}. Written by `{found['command']}`.", ""]
    for part in (_parity, _passes, _claims, _implied):
        lines += part(found)
    return "\n".join(lines).rstrip() + "\n"


def ceiling(row: dict[str, Any], ceilings: dict[str, float]) -> float:
    """Return the least milliseconds that bandwidth and arithmetic allow."""
    moved: float = row["bytes"] / ceilings["copy_bytes_per_second"]
    done: float = row["operations"] / ceilings["operations_per_second"]
    return 1000 * max(moved, done)


def _parity(found: dict[str, Any]) -> list[str]:
    lines = ["## Parity", "", "Greedy, one sequence at a time; the same ids to the last one.", ""]
    rows = []
    for name, engine in found.get("parity", {}).items():
        if reason := next((f"{how}: {engine[how]}" for how in ("skipped", "failed") if how in engine), ""):
            rows.append((name, "", "", reason))
            continue
        for row in engine["rows"]:
            rows.append((engine["engine"], row["checkpoint"], row["mode"], f"{row['same_ids']} of {row['asked']}"))
    return [*lines, table(("engine", "checkpoint", "mode", "same ids"), rows, LEFT), ""]


def _passes(found: dict[str, Any]) -> list[str]:
    ceilings = found.get("ceilings")
    if ceilings is None:
        return []
    bandwidth = f"{ceilings['copy_bytes_per_second'] / 1e9:.0f} GB/s"
    arithmetic = f"{ceilings['operations_per_second'] / 1e12:.2f} T/s"
    lines = [
        "## Passes",
        "",
        "Random weights. Median milliseconds of a pass with quartiles; `least` is what the bytes of weights and cache "
        f"over a measured copy bandwidth of {bandwidth} allow, or the operations over {arithmetic} where that is more; "
        "`reached` is least over median.",
        "",
    ]
    rows = []
    for row in found.get("passes", []):
        place = (row["size"], row["rows"], row["context"], row["tokens"])
        if "skipped" in row:
            rows.append((*place, "", "", "", f"skipped: {row['skipped']}"))
            continue
        taken, least = row["milliseconds"], ceiling(row, ceilings)
        rows.append((*place, spread(taken, 3), f"{least:.3f}", f"{least / taken['median']:.0%}", row["attention"]))
    names = ("size", "rows", "context", "tokens", "milliseconds", "least", "reached", "attention")
    return [*lines, table(names, rows, LEFT), ""]


def _claims(found: dict[str, Any]) -> list[str]:
    """One row at a time: what one token reaches of the roofline, and what a block costs against it."""
    ceilings, taken = found.get("ceilings"), {}
    for row in found.get("passes", []):
        if "milliseconds" in row and row["rows"] == 1:
            taken[row["size"], row["context"], row["tokens"]] = row
    rows = []
    for size, context, tokens in taken:
        block = taken.get((size, context, 32))
        if tokens != 1 or block is None or ceilings is None:
            continue
        one = taken[size, context, 1]
        median = one["milliseconds"]["median"]
        reached, times = ceiling(one, ceilings) / median, block["milliseconds"]["median"] / median
        rows.append((size, context, f"{reached:.0%}", f"{times:.2f}"))
    if not rows:
        return []
    names = ("size", "context", "one token reaches of its least", "block of 32 over one token")
    return ["## One sequence", "", table(names, rows, LEFT), ""]


def _implied(found: dict[str, Any]) -> list[str]:
    modes = list(dict.fromkeys(m for row in found.get("implied", []) for m in row["implied_tokens_per_second"]))
    if not modes:
        return []
    rows = [
        (
            row["size"],
            row["rows"],
            row["context"],
            *(_number(row["implied_tokens_per_second"].get(mode)) for mode in modes),
        )
        for row in found["implied"]
    ]
    return [
        "## Implied tokens per second",
        "",
        f"{NOTE.capitalize()}.",
        "",
        table(("size", "rows", "context", *modes), rows, LEFT),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"

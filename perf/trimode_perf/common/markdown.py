"""Cells and tables of the reports, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

TEXT = ("peer", "engine", "mode", "domain", "path", "knob", "choice", "stage", "best fixed choice")
"""Titles of columns that are set to the left."""


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [titles, ["---" if title in TEXT else "---:" for title in titles], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(spread: dict[str, float], digits: int = 2) -> str:
    """Return a median with its quartiles."""
    median, low, high = (f"{spread[name]:.{digits}f}" for name in ("median", "low", "high"))
    return f"{median} ({low} to {high})"

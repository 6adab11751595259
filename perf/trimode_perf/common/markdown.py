"""Tables, figures and filled texts in Markdown. Knows nothing of what they are of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

TEXT = ("peer", "engine", "mode", "domain", "path", "knob", "choice", "stage", "best fixed choice")
"""Titles of the columns that most reports set to the left."""


def table(titles: Sequence[str], rows: Iterable[Sequence[object]], left: Collection[str] = TEXT) -> str:
    """Return a table; columns whose titles are in `left` are set to the left, the others to the right."""
    lines = [titles, ["---" if title in left else "---:" for title in titles], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def spread(spread: Mapping[str, float], digits: int = 2) -> str:
    """Return a median with its quartiles: "1.20 (1.10 to 1.34)"."""
    median, low, high = (f"{spread[name]:.{digits}f}" for name in ("median", "low", "high"))
    return f"{median} ({low} to {high})"


def fill(template: Path, values: Mapping[str, object]) -> str:
    """Return the text of `template` with each value in the place of its name in double braces."""
    filled = template.read_text(encoding="utf-8")
    for name, value in values.items():
        filled = filled.replace("{{" + name + "}}", str(value))
    return filled

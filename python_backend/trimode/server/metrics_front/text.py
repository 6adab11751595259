"""Prometheus' text of several servers as one: a label for whose a sample is, and each family's samples in a row.

Knows the form of lines; nothing of what is counted. Source: https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

NAME = re.compile(r"[A-Za-z_:][\w:]*")
ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def labelled(text: str, name: str, value: str) -> str:
    """Return `text` with one more label on each sample."""
    label = f'{name}="{value.translate(ESCAPED)}"'
    return "".join(_labelled(line, label) for line in text.splitlines(keepends=True))


def _labelled(line: str, label: str) -> str:
    found = NAME.match(line)
    if found is None:  # a comment, or nothing
        return line
    rest = line[found.end() :]
    return f"{found[0]}{{{label},{rest[1:]}" if rest.startswith("{") else f"{found[0]}{{{label}}}{rest}"


def merged(texts: Sequence[str]) -> list[str]:
    """Return the lines of `texts`, a family's of all of them one after the other, with its help and its type once."""
    if len(texts) == 1:
        return texts[0].splitlines(keepends=True)
    said: dict[str, dict[str, None]] = {}  # of a family, in the order in which it was said
    samples: dict[str, list[str]] = {}
    for text in texts:
        family = ""
        for line in text.splitlines(keepends=True):
            if line.startswith(("# HELP ", "# TYPE ")):
                family = line.split()[2]
                said.setdefault(family, {})[line] = None
            else:
                samples.setdefault(family, []).append(line)
    return [line for family in {**said, **samples} for line in (*said.get(family, ()), *samples.get(family, ()))]

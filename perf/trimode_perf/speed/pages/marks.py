"""Texts between the marks of pages: `<!-- result cost -->` to `<!-- /result cost -->` is the text named cost.

A text of which something was not measured stays as it is. Knows nothing of what the texts say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import fill

from ...common.results import read as read_file
from .. import Data, Found
from . import figures, missed

WIDTH = 120
MARKED = re.compile(r"(<!-- result (\w+) -->\n).*?(\n<!-- /result \2 -->)", re.DOTALL)
BLOCKS: Mapping[str, tuple[tuple[str, ...], Callable[[Found], str]]] = {
    "missed": (missed.READS, missed.text),
    "dropped": (("timeline",), figures.dropped),
    "cost": (("cost",), figures.cost),
    "int8": (("int8",), figures.int8),
    "replay": (("auto_replay", "speculation"), figures.replay),
    "live": (("domains", "auto_replay", "timeline", "cost", "speculation"), figures.live),
}
"""By name, the results that a text is written from, and what writes it."""
PAGES = ("docs/auto.md", "docs/benchmarks.md", "docs/guides/quality-and-speed.md")


def read(results: Path) -> dict[str, Data]:
    """Return the results that texts are written from, by the name of the file."""
    files = {name: results / f"{name}.json" for names, _ in BLOCKS.values() for name in names}
    return {name: read_file(path) for name, path in files.items() if path.is_file()}


def write(project: Path, results: Path) -> None:
    """Write the texts of every page that is there."""
    found = read(results)
    for page in (project / name for name in PAGES):
        if page.is_file():
            page.write_text(filled(page.read_text(encoding="utf-8"), found), encoding="utf-8")


def filled(page: str, found: Found) -> str:
    """Return a page with the texts between its marks."""

    def text(mark: re.Match[str]) -> str:
        names, made = BLOCKS[mark[2]]
        return f"{mark[1]}{wrapped(made(found))}{mark[3]}" if found.keys() >= set(names) else mark[0]

    return MARKED.sub(text, page)


def wrapped(text: str) -> str:
    """Return a text with its paragraphs filled; tables and code stay as they are."""
    return "\n\n".join(
        one if one.startswith(("|", "```")) else fill(" ".join(one.split()), WIDTH, break_on_hyphens=False)
        for one in text.strip().split("\n\n")
    )

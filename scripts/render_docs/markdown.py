"""Markdown: tables, code and paragraphs. Knows nothing of what they say."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

LINE_WIDTH = 120
"""Characters of a line of prose, as everywhere in this repository; the rows of a table may be longer."""
NOTHING = "-"
"""What a cell holds where there is nothing to say."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar in a cell is escaped, and a line end becomes a space."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(text) for text in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|") or NOTHING


def plain(text: str) -> str:
    """Return text of the code as Markdown: what would be a tag in HTML, such as </think>, is escaped outside code."""
    parts = re.split("(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def prose(text: str) -> str:
    """Return a paragraph in lines of at most LINE_WIDTH characters."""
    return textwrap.fill(" ".join(text.split()), LINE_WIDTH, break_long_words=False, break_on_hyphens=False)


def code(text: object) -> str:
    """Return `text` as code."""
    return f"`{text}`"


def codes(texts: Iterable[object]) -> str:
    """Return several texts as code, with commas between them."""
    return ", ".join(code(text) for text in texts)


def paragraphs(*parts: str) -> str:
    """Return the parts of a page with an empty line between them and a line end after the last."""
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def number(value: float) -> str:
    """Return a number as people write it: 1,000,000 and 0.01."""
    return f"{int(value):,}" if value == int(value) else f"{value:g}"

"""What the command line prints with: consoles that keep to NO_COLOR, JSON for any encoding, notes beside the output."""

from __future__ import annotations

import json
import os
import sys

from rich.console import Console


def open_console(*, stderr: bool = False) -> Console:
    """Return a console; with NO_COLOR it writes no escape sequence, whatever it writes to."""
    terminal = False if os.environ.get("NO_COLOR") else None
    return Console(stderr=stderr, force_terminal=terminal, highlight=False, markup=False, emoji=False, soft_wrap=True)


def note(text: str, after: str = "") -> None:
    """Print one dim line on standard error; a line of its own, even where `after`, printed last, does not end one."""
    sys.stdout.flush()
    begin = "\n" if after and not after.endswith("\n") else ""
    open_console(stderr=True).print(begin + text, style="dim")


def as_json(value: object, indent: int | None = None) -> str:
    """Return JSON in ASCII where standard output cannot take more."""
    unicode = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    return json.dumps(value, ensure_ascii=not unicode, indent=indent)

"""Input and output of the command line: consoles that obey NO_COLOR, JSON for any encoding, notes, texts.

Texts of files and of standard input stay byte for byte: line ends, and a missing last one. Knows no command.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rich.console import Console

from ..errors import TrimodeClientError

STANDARD_INPUT = "-"


class UsageError(Exception):
    """The command line is wrong: flags that exclude each other, or a file that cannot be read. Nothing was sent.

    It has no error_type, as it does not come from a server.
    """


def open_console(*, stderr: bool = False) -> Console:
    """Return a console; with NO_COLOR it writes no escape sequence, whatever it writes to."""
    terminal = False if os.environ.get("NO_COLOR") else None
    return Console(stderr=stderr, force_terminal=terminal, highlight=False, markup=False, emoji=False, soft_wrap=True)


def print_note(text: str, after: str = "") -> None:
    """Print one dim line on standard error, on a line of its own even if `after`, printed last, does not end one."""
    sys.stdout.flush()
    begin = "\n" if after and not after.endswith("\n") else ""
    open_console(stderr=True).print(begin + text, style="dim")


def as_json(value: object, indent: int | None = None) -> str:
    """Return JSON, in ASCII where standard output cannot take more."""
    unicode = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    return json.dumps(value, ensure_ascii=not unicode, indent=indent)


def read_text(name: str) -> str:
    """Return the text of a file, or of standard input for "-".

    Raises:
        UsageError: it cannot be read, or is not UTF-8.
    """
    try:
        raw = sys.stdin.buffer.read() if name == STANDARD_INPUT else Path(name).read_bytes()
        return raw.decode("utf-8")
    except OSError as exc:
        raise UsageError(f"{name} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"{name} must be valid UTF-8: {exc}") from exc


def write_text(name: str, text: str) -> None:
    """Replace what a file holds by `text`.

    Raises:
        TrimodeClientError: it cannot be written.
    """
    try:
        Path(name).write_bytes(text.encode("utf-8"))
    except OSError as exc:
        raise TrimodeClientError(f"{name} cannot be written: {exc.strerror}") from exc

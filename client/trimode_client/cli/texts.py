"""Texts from files and standard input and back, byte for byte: line ends and a missing last one stay as they are."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import TrimodeClientError
from .usage import UsageError

STANDARD_INPUT = "-"


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
    """Put `text` into a file in place of what it held.

    Raises:
        TrimodeClientError: it cannot be written.
    """
    try:
        Path(name).write_bytes(text.encode("utf-8"))
    except OSError as exc:
        raise TrimodeClientError(f"{name} cannot be written: {exc.strerror}") from exc

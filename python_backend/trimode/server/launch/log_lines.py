"""log_lines: what this package logs, in the form of process.log: time in UTC, level, who says it, and what."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator


class Line(logging.Formatter):
    """Writes `2026-01-31T12:00:00Z WARNING name: text`, and a traceback below it."""

    converter = time.gmtime  # type: ignore[assignment]  # as the documentation of logging has it

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def log_lines() -> Iterator[None]:
    """Let warnings and errors that are logged inside the block go to sys.stderr in this form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Line())
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)

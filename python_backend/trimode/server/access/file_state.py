"""file_state: what changes whenever a file does."""

from __future__ import annotations

import os
from pathlib import Path


def file_state(path: Path) -> tuple[int, ...]:
    """Return the time of the last change, the size and the number of a file; empty if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino

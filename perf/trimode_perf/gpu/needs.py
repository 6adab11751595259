"""What a part of gpu-check needs and may not find: packages, a GPU. A machine with torch alone runs the others."""

from __future__ import annotations

import importlib
import sys
from typing import Any


class Unavailable(Exception):
    """The engine cannot run here; the text says what is missing."""


def imported(first: str, *others: str) -> Any:
    """Import modules that may not be here; return the first."""
    for name in (first, *others):
        try:
            importlib.import_module(name)
        except (ImportError, OSError) as exc:
            raise Unavailable(f"{name} cannot be imported: {exc}") from exc
    return sys.modules[first]

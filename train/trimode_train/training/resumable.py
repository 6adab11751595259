"""Resumable state of a run: one file, replaced atomically. Knows nothing about what it holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


def save(path: Path, state: dict[str, Any]) -> None:
    """Write next to the target, then rename over it: a reader or a crash never sees half a file."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


def load(path: Path) -> dict[str, Any]:
    """Read a state that `save` wrote."""
    return torch.load(path, map_location="cpu", weights_only=True)

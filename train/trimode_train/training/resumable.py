"""The resumable state of a run: one file, replaced atomically. Knows nothing about what is in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a file next to `path`, then rename it: neither a reader nor a crash ever sees half a file."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    os.replace(temporary, path)


def load(path: Path) -> dict[str, Any]:
    """Read a state that `save` wrote: tensors, numbers and texts only, so it names no class or module."""
    return torch.load(path, map_location="cpu", weights_only=True)

"""Wordings and subjects as they are written in wordings.yaml and subjects.yaml. Knows no kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from .base import Kind


@cache
def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((Path(__file__).parent / name).read_text(encoding="utf-8"))
    return found


def subjects(name: str) -> tuple[str, ...]:
    """Return the subjects of one list. Raises KeyError if there is none of that name."""
    return tuple(_read("subjects.yaml")[name])


def worded(name: str, fill: Callable[[Random], tuple[str, Mapping[str, str]]]) -> Kind:
    """Return the kind `name` with its wordings and follow-ups, filled by `fill`. Raises KeyError if it has none."""
    own = _read("wordings.yaml")[name]
    return Kind(name, tuple(own["wordings"]), fill, tuple(own.get("follow_ups", ())))

"""The prompts that a model answers so that it can learn to draft: by kind, from templates and from packages' texts."""

from __future__ import annotations

from .base import Asked, Kind, draw, listed
from .spoken import SPOKEN
from .worked import WORKED

KINDS: dict[str, Kind] = {kind.name: kind for kind in (*SPOKEN, *WORKED)}

__all__ = ["KINDS", "Asked", "Kind", "draw", "listed"]

"""A note beside the output: one dim line on standard error."""

from __future__ import annotations

from rich.console import Console


def note(text: str) -> None:
    """Print it."""
    Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True).print(text, style="dim")

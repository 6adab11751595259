"""Whether slots fit a GPU's memory, and what to do where they do not. Knows no engine; allocates nothing."""

from __future__ import annotations

GB = 10**9


def gb(size: int) -> str:
    """Return a number of bytes in GB."""
    return f"{size / GB:.2f} GB"


def advice(slots: int, each: int, once: int, free: int) -> str | None:
    """Return what to do where `slots` of `each` bytes and `once` for the rest exceed `free`; None if they fit."""
    if slots * each + once <= free:
        return None
    fit = max(0, free - once) // each
    return f"Lower max_slots (TRIMODE_MAX_SLOTS) to {fit}" if fit else "Not even one slot fits: free GPU memory"

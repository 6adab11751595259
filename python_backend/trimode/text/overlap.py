"""How far the end of one text and the beginning of another are the same. Knows nothing of tokens."""

from __future__ import annotations


def overlap(text: str, after: str, *, proper: bool = False) -> int:
    """Return the length of the longest end of `text` that `after` begins with; 0 if there is none.

    Args:
        proper: find only ends that are shorter than `after`, so that something of `after` is still to come.
    """
    longest = min(len(text), len(after) - proper)
    return next((size for size in range(longest, 0, -1) if text.endswith(after[:size])), 0)

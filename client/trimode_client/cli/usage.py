"""UsageError: what the command line itself cannot take, told without a type because no server said it."""

from __future__ import annotations


class UsageError(Exception):
    """Flags that do not go together, or a file that cannot be read; nothing was sent."""

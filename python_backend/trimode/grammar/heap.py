"""By what a grammar is weighed: the bytes that a process has allocated, and the tokens that were followed."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

PAGE_BYTES = 4096


@dataclass(eq=False)
class Use:
    """How many tokens of all texts in one grammar were followed, each once however often it was taken back."""

    tokens: int = 0


class _Mallinfo2(ctypes.Structure):
    """glibc's struct mallinfo2, see mallinfo(3)."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    )


def allocated() -> int:
    """Return the bytes in use of a process with one thread; before glibc 2.33 those that are in memory."""
    call = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if call is None:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES
    call.restype = _Mallinfo2
    found = call()
    return int(found.uordblks) + int(found.hblkhd)

"""How much more memory this process holds at most while something is done, as Linux counts it."""

from __future__ import annotations

import re
from pathlib import Path

PEAK_AGAIN = "5"
"""Written to clear_refs, it makes the present size the largest so far (proc(5)): what was taken before is forgotten."""


class Growth:
    """A context; `bytes` is by how much the process grew at most in it."""

    bytes = 0

    def __enter__(self) -> Growth:
        Path("/proc/self/clear_refs").write_text(PEAK_AGAIN, encoding="ascii")
        self._before = _kibibytes("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = 1024 * (_kibibytes("VmHWM") - self._before)


def _kibibytes(name: str) -> int:
    (found,) = re.findall(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    return int(found)

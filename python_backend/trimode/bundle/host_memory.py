"""How much more memory this process can take: what Linux calls available, within the limits of its control groups.

Both versions of control groups are read, from the process's own group up to the root: each may have a limit. Pages of
files that the kernel would give back count as free.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
V1 = ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
"""Where the groups of each version lie, their files for limit and use, and what memory.stat calls pages to give back.

Source: the kernel's admin-guide/cgroup-v1/memory.rst and admin-guide/cgroup-v2.rst.
"""


def host_memory(root: Path = ROOT) -> tuple[int, int] | None:
    """Return the bytes that can be used without swapping, and all of them; None if the system does not say.

    Args:
        root: the folder in which `proc` and `sys` are.
    """
    machine = _fields(root / "proc/meminfo")
    if "MemAvailable:" not in machine or "MemTotal:" not in machine:
        return None
    free, total = machine["MemAvailable:"] * 1024, machine["MemTotal:"] * 1024
    for limit, used in _limits(root):
        free, total = min(free, limit - used), min(total, limit)
    return max(0, free), total


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """Yield the limit of each control group that has one, and what the group uses of it."""
    for own in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = (*own.split(":", 2), "", "")[:3]
        if number != "0" and "memory" not in controllers.split(","):
            continue
        place, most, used, given_back = V2 if number == "0" else V1
        groups = Path(path.lstrip("/"))
        for group in (groups, *groups.parents):  # in a container the first ones may lie outside, and are not seen
            folder = root / place / group
            limit, use = _text(folder / most).strip(), _text(folder / used).strip()
            if limit.isdigit() and use.isdigit():
                yield int(limit), int(use) - _fields(folder / "memory.stat").get(given_back, 0)


def _fields(path: Path) -> dict[str, int]:
    """Return the numbers of a file of lines that begin with a name and a number."""
    parts = (line.split() for line in _text(path).splitlines())
    return {part[0]: int(part[1]) for part in parts if len(part) > 1 and part[1].isdigit()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""

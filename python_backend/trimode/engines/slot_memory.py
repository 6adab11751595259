"""How many slots fit a GPU's memory or a machine's, and the refusal where too few do.

Engines say what a slot takes and what is needed once. Knows no engine; allocates nothing.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from ..bundle.host_memory import host_memory
from ..bundle.manifest import Manifest
from ..errors import BundleError
from .options import MaxSlots

GB = 10**9
MOST = 64
"""Slots that `auto` takes at most: from there on a pass with more rows takes longer for each of them."""
HOST_RESERVE = GB
"""Bytes on a processor for a call's intermediate values, the prefix cache, pictures, grammars and the processes around:
the parts that docs/operations.md lists are 0.8 GB with the settings that ship."""

logger = logging.getLogger(__name__)


class Memory(NamedTuple):
    """Free bytes and all bytes of a GPU, or of the machine: of what `kind` says, such as "GPU memory"."""

    free: int
    total: int
    kind: str = "GPU memory"


class Fit(NamedTuple):
    """How many slots there are to be, and what to do where those do not fit; None if they do."""

    slots: int
    todo: str | None


def on_host() -> Memory:
    """Return the machine's memory as it is now, within the limits of the process's control groups.

    Raises:
        BundleError: the system does not say.
    """
    if (found := host_memory()) is None:
        raise BundleError("max_slots: auto needs /proc/meminfo, which cannot be read here; give a number")
    return Memory(*found, kind="memory")


def gb(size: int) -> str:
    """Return a number of bytes in GB."""
    return f"{size / GB:.2f} GB"


def fit(asked: MaxSlots, each: int, once: int, memory: Memory, most: int = MOST) -> Fit:
    """Return the slots, of `each` bytes beside `once` for the rest: those asked for, or for "auto" as many as fit.

    Args:
        most: slots that "auto" takes at most.
    """
    room = max(0, memory.free - once) // each
    slots = asked if isinstance(asked, int) else max(1, min(room, most, MOST))
    if slots <= room:
        if slots != asked:
            state = f"{gb(memory.free)} of {gb(memory.total)} are free, and {room} would fit"
            logger.info(
                "max_slots auto: %d slots of %s each, beside %s for the rest; %s", slots, gb(each), gb(once), state
            )
        return Fit(slots, None)
    if not room:
        return Fit(slots, f"Not even one slot fits: free {memory.kind}")
    return Fit(slots, f"Lower max_slots (TRIMODE_MAX_SLOTS) to {room}, or set it to auto")


def slots_on_host(bundle: Path, manifest: Manifest, asked: MaxSlots, need: tuple[int, int]) -> int:
    """Return how many slots an engine on a processor has that has loaded its weights.

    A number is taken as it is: memory that no sequence uses is not taken.

    Raises:
        BundleError: not even one fits, of "auto".
    """
    return asked if isinstance(asked, int) else slots_of(bundle, manifest, asked, need, on_host())


def slots_of(bundle: Path, manifest: Manifest, asked: MaxSlots, need: tuple[int, int], memory: Memory) -> int:
    """Return how many slots an engine has that has loaded its weights.

    Args:
        need: bytes of one slot, and bytes that are needed once.

    Raises:
        BundleError: they do not fit; names what was asked, what is needed, what is free and how many slots would fit.
    """
    each, once = need
    slots, todo = fit(asked, each, once, memory)
    if todo is None:
        return slots
    raise BundleError(
        f"{bundle}: {memory.kind}: max_slots {asked} needs {gb(slots * each)} for keys, values and logits "
        f"({gb(each)} each, capacity {manifest.capacity}) and {gb(once)} for the rest; with the weights loaded, "
        f"{gb(memory.free)} of {gb(memory.total)} are free. {todo}, or build with a smaller capacity"
    )

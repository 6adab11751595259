"""What the processor's byte products can do, as Linux says. Knows nothing of sessions or graphs."""

from __future__ import annotations

from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
VNNI = {"avx512_vnni", "avx_vnni"}
"""Linux' names of the instructions that add products of unsigned and signed bytes in 32 bits."""


def byte_products_are_exact() -> bool:
    """Whether products of unsigned and signed bytes are added in 32 bits; without VNNI they saturate in 16.

    False where the processor cannot be looked at.
    """
    try:
        lines = CPUINFO.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return not VNNI.isdisjoint(flags)

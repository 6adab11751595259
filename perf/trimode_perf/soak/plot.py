"""The plot of a soak: memory of each process by the minute, and the bound on the stub's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..common.plots import figure
from .watch import FRONT, STUB, TRITON


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Write the plot of what was found."""
    minutes = range(1, len(found["minutes"]) + 1)
    with figure(path, 7, 3.6) as axes:
        for role in (STUB, FRONT, TRITON):
            axes.plot(minutes, [held["memory_mib"].get(role, 0) for held in found["minutes"]], label=role)
        axes.axhline(sum(found["bound_mib"].values()), linestyle="--", color="grey", label="bound of the stub")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("minute")
        axes.set_ylabel("memory, MiB")
        axes.grid(alpha=0.3)
        axes.legend()

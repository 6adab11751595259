"""What every plot shares: a figure that is written to a file, and an axis in powers of two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # the backend must be chosen first


@contextmanager
def figure(path: Path, width: float, height: float, columns: int = 1, dpi: int = 120) -> Iterator[Any]:
    """Give the axes of a new figure, or several side by side; write it as PNG when the block ends."""
    drawn, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained")
    try:
        yield axes
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(path, dpi=dpi, metadata={"Software": None})
    finally:
        plt.close(drawn)


def powers_of_two(axes: Any, ticks: Sequence[float], x: str, y: str) -> None:
    """Name both axes; x is logarithmic with a mark at each of `ticks`."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)

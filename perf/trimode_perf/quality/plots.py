"""The card's plots, from the same JSON as its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # the backend must be chosen first
from trimode.api.fields import Mode

from .claims import find
from .settings import BLOCKS, SWEPT_BLOCKS
from .tally import per_forward

SERIAL, DRAFTED = "#7a7a7a", "#76b900"
BLUES = dict(zip(SWEPT_BLOCKS, ("#9ecae1", "#6baed6", "#3182bd", "#08519c"), strict=True))
ADAPTER = {True: DRAFTED, False: "#c0c0c0"}


def draw(results: dict[str, Any], folder: Path) -> None:
    """Write accuracy.png and acceptance.png into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    _accuracy(results, folder / "accuracy.png")
    _acceptance(results, folder / "acceptance.png")


def _accuracy(results: dict[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for block in SWEPT_BLOCKS:
        for fixed, style in ((False, "o-"), (True, "s:")):
            rows = [
                run
                for run in results["runs"]
                if (run["mode"], run["prompts"], run["block_length"]) == (Mode.DIFFUSION, "sweep", block)
                and not run["revise_rounds"]
                if (run["threshold"] is None if fixed else run["denoise_steps"] == block and run["threshold"])
            ]
            if rows:
                label = f"diffusion {block}, {'fixed steps' if fixed else 'threshold'}"
                axes.plot(*_points(rows), style, color=BLUES[block], markersize=4, linewidth=1, label=label)
    same: dict[str, Any] = {"prompts": "sweep"}  # the markers are counted on the curves' prompts
    serial = find(results, Mode.AUTOREGRESSIVE, **same)
    axes.plot(*_points([serial] if serial else []), "*", color=SERIAL, markersize=11, label="autoregressive")
    same["adapter"] = results["settings"]["adapter"]
    drafted = [find(results, Mode.SELF_SPECULATION, block, **same) for block in BLOCKS]
    axes.plot(*_points([run for run in drafted if run]), "D", color=DRAFTED, markersize=6, label="self-speculation")
    axes.set_xscale("log", base=2)
    ticks = (1, 2, 4, 8, 16)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("tokens per forward")
    axes.set_ylabel("% exact, mean of the domains")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=7)
    _save(figure, path)


def _points(runs: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    sums = [run["all"] for run in runs]
    return [per_forward(s) for s in sums], [100 * s["accuracy"] for s in sums]


def _acceptance(results: dict[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
    block = BLOCKS[0]
    kinds = [kind for kind in (True, False) if find(results, Mode.SELF_SPECULATION, block, adapter=kind)]
    for place, kind in enumerate(kinds):
        run = find(results, Mode.SELF_SPECULATION, block, adapter=kind)
        runs = {int(size): count for size, count in run["all"]["accepted"].items()} if run else {}
        cycles = sum(runs.values()) or 1
        width = 0.85 / len(kinds)
        where = [size + (place - (len(kinds) - 1) / 2) * width for size in range(1, block + 1)]
        shares = [100 * runs.get(size, 0) / cycles for size in range(1, block + 1)]
        label = f"{'with' if kind else 'without'} adapter"
        axes.bar(where, shares, width, color=ADAPTER[kind] if len(kinds) > 1 else DRAFTED, label=label)
    axes.set_xlabel(f"tokens that a cycle of self-speculation gives, block {block}")
    axes.set_ylabel("% of cycles")
    axes.set_xticks([1, *range(4, block + 1, 4)])
    axes.grid(alpha=0.3, axis="y")
    if len(kinds) > 1:
        axes.legend(frameon=False, fontsize=8)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)

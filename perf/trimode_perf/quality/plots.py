"""The card's plots, from the same JSON as its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trimode.api.fields import Mode

from ..common.plots import figure, powers_of_two
from .claims import Run, find
from .settings import BLOCKS, SWEPT_BLOCKS
from .tally import per_forward

SERIAL, DRAFTED = "#7a7a7a", "#76b900"
BLUES = dict(zip(SWEPT_BLOCKS, ("#9ecae1", "#6baed6", "#3182bd", "#08519c"), strict=True))
ADAPTER = {True: DRAFTED, False: "#c0c0c0"}


def draw(results: dict[str, Any], folder: Path) -> None:
    """Write accuracy.png and acceptance.png into `folder`."""
    _accuracy(results, folder / "accuracy.png")
    _acceptance(results, folder / "acceptance.png")


def _accuracy(results: dict[str, Any], path: Path) -> None:
    swept: dict[str, Any] = {"prompts": "sweep"}  # the markers are counted on the curves' prompts
    serial = find(results, Mode.AUTOREGRESSIVE, **swept)
    adapter = results["settings"]["adapter"]
    drafted = [find(results, Mode.SELF_SPECULATION, block, **swept, adapter=adapter) for block in BLOCKS]
    with figure(path, 6.4, 4, dpi=100) as axes:
        for block in SWEPT_BLOCKS:
            for fixed, style in ((False, "o-"), (True, "s:")):
                if rows := _curve(results, block, fixed):
                    label = f"diffusion {block}, {'fixed steps' if fixed else 'threshold'}"
                    axes.plot(*_points(rows), style, color=BLUES[block], markersize=4, linewidth=1, label=label)
        axes.plot(*_points([serial]), "*", color=SERIAL, markersize=11, label="autoregressive")
        axes.plot(*_points(drafted), "D", color=DRAFTED, markersize=6, label="self-speculation")
        powers_of_two(axes, (1, 2, 4, 8, 16), "tokens per forward", "% exact, mean of the domains")
        axes.legend(frameon=False, fontsize=7)


def _curve(results: dict[str, Any], block: int, fixed: bool) -> list[Run]:
    """Return the sweep's runs of a block: by fixed steps, or by thresholds with as many passes as they take."""
    wanted = (Mode.DIFFUSION, "sweep", block, 0)
    names = ("mode", "prompts", "block_length", "revise_rounds")
    runs = [run for run in results["runs"] if tuple(run[name] for name in names) == wanted]
    if fixed:
        return [run for run in runs if run["threshold"] is None]
    return [run for run in runs if run["denoise_steps"] == block and run["threshold"]]


def _points(runs: list[Run | None] | list[Run]) -> tuple[list[float], list[float]]:
    sums = [run["all"] for run in runs if run]
    return [per_forward(s) for s in sums], [100 * s["accuracy"] for s in sums]


def _acceptance(results: dict[str, Any], path: Path) -> None:
    block = BLOCKS[0]
    found = {kind: find(results, Mode.SELF_SPECULATION, block, adapter=kind) for kind in (True, False)}
    kinds = {kind: run for kind, run in found.items() if run}
    width, sizes = 0.85 / len(kinds), range(1, block + 1)
    with figure(path, 6.4, 2.8, dpi=100) as axes:
        for place, (kind, run) in enumerate(kinds.items()):
            runs = {int(size): count for size, count in run["all"]["accepted"].items()}
            where = [size + (place - (len(kinds) - 1) / 2) * width for size in sizes]
            shares = [100 * runs.get(size, 0) / (sum(runs.values()) or 1) for size in sizes]
            colour = ADAPTER[kind] if len(kinds) > 1 else DRAFTED
            axes.bar(where, shares, width, color=colour, label=f"{'with' if kind else 'without'} adapter")
        axes.set_xlabel(f"tokens that a cycle of self-speculation gives, block {block}")
        axes.set_ylabel("% of cycles")
        axes.set_xticks([1, *range(4, block + 1, 4)])
        axes.grid(alpha=0.3, axis="y")
        if len(kinds) > 1:
            axes.legend(frameon=False, fontsize=8)

"""The report's plots, from the same JSON as its tables."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # the backend must be chosen first
from matplotlib.figure import Figure

from . import MODES, Data, Found

COLOURS = {"autoregressive": "#7a7a7a", "diffusion": "#1f77b4", "self_speculation": "#76b900", "auto": "#d95f02"}
LAYERS = {"engine": "engine", "loop": "control loop", "grpc": "Triton gRPC", "http": "Triton HTTP"}


def draw(found: Found, folder: Path) -> None:
    """Write latency.png, steps.png and throughput.png into `folder`, as far as their parts were measured."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = (
        ("bench", _latency, "latency.png"),
        ("sweep", _steps, "steps.png"),
        ("perf_analyzer", _throughput, "throughput.png"),
    )
    for name, plot, file in drawn:
        if name in found and found[name].get("rows", True):
            plot(found[name], found[name]["hardware"]["engine"], folder / file)


def _latency(bench: Data, note: str, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for place, mode in enumerate(MODES):
        spreads = [bench["summary"]["milliseconds"][mode][layer] for layer in LAYERS]
        medians = [spread["median"] for spread in spreads]
        errors = [[s["median"] - s["low"] for s in spreads], [s["high"] - s["median"] for s in spreads]]
        where = [index + (place - 1.5) * 0.21 for index in range(len(LAYERS))]
        axes.bar(where, medians, 0.19, yerr=errors, capsize=2, label=mode, color=COLOURS[mode])
    axes.set_xticks(range(len(LAYERS)), list(LAYERS.values()))
    axes.set_ylabel("milliseconds per answer")
    axes.set_title(f"One answer at a time, median and quartiles\n{note}", fontsize=9)
    axes.legend(frameon=False)
    _save(figure, path)


def _steps(sweep: Data, note: str, path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
    lines = (
        ("diffusion", "denoise_steps", "diffusion", "o-"),
        ("diffusion", "denoise_steps, reveal steps", "diffusion, reveal steps", "o--"),
        ("self_speculation", "denoise_steps", "self_speculation", "o-"),
    )
    ticks: list[int] = []
    for mode, name, label, style in lines:
        rows = [row for row in sweep["rows"] if (row["mode"], row["sweep"]) == (mode, name)]
        ticks = [row["value"] for row in rows]
        left.plot(ticks, [row["tokens_per_forward"] for row in rows], style, label=label, color=COLOURS[mode])
        share = [100 * row["equals_autoregressive"] for row in rows]
        right.plot(ticks, share, style, label=label, color=COLOURS[mode])
    for axes, title in ((left, "tokens per forward"), (right, "% of texts equal to autoregressive")):
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xlabel("denoise_steps")
        axes.set_ylabel(title)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    left.axhline(1.0, color=COLOURS["autoregressive"], linewidth=1)
    left.legend(frameon=False, fontsize=8)
    figure.suptitle(note, fontsize=9)
    _save(figure, path)


def _throughput(analyzed: Data, note: str, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
    for mode in MODES:
        rows = [row for row in analyzed["rows"] if row["mode"] == mode and row["path"] == "grpc_stream"]
        levels = [row["concurrency"] for row in rows]
        axes.plot(levels, [row["answers_per_second"] for row in rows], "o-", label=mode, color=COLOURS[mode])
    axes.set_xscale("log", base=2)
    axes.set_xticks(levels, [str(level) for level in levels])
    axes.set_xlabel("concurrent gRPC streams (perf_analyzer)")
    axes.set_ylabel("answers per second")
    axes.set_ylim(bottom=0)
    axes.set_title(note, fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)

"""The knobs of a block, swept in process: how many passes refine it, which tokens they keep, and how long it is.

Every setting answers the same prompts, interleaved with autoregressive in the same rounds.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trimode.api.answer import Chunk
from trimode.api.fields import Mode

from ..common import prompts as asked
from ..common.markdown import spread, table
from ..common.plots import figure, powers_of_two
from ..common.prompts import Prompt
from ..common.statistics import paired
from . import COLOURS, Context, Data, Found, Part
from .domains import DECODED, Answer, decoded, figures
from .layers import ask_runtime

STEPS = (1, 2, 4, 8, 16, 32)
BLOCKS = (4, 8, 16, 32)
THRESHOLDS = (0.5, 0.7, 0.9, 0.99)
DIFFUSION, SELF_SPECULATION = Mode.DIFFUSION.value, Mode.SELF_SPECULATION.value
BASELINE: dict[str, Any] = {"mode": Mode.AUTOREGRESSIVE.value}
MIN_ROUNDS = 2
MIN_PROMPTS = 2

Key = tuple[int, int]  # round, prompt
Taken = dict[Key, tuple[float, Chunk]]  # seconds and answer


@dataclass(frozen=True)
class Setting:
    """One point of a sweep."""

    sweep: str
    mode: str
    value: float
    fields: dict[str, Any]


def settings(block: int) -> list[Setting]:
    """Return the points of every sweep; the two over passes have a block of `block`."""

    def steps(mode: str, **more: str) -> list[Setting]:
        name = ", ".join(["denoise_steps", *(f"{knob} {value}" for knob, value in more.items())])
        fields = {n: {"block_length": block, "denoise_steps": n, **more} for n in STEPS if n <= block}
        return [Setting(name, mode, n, given) for n, given in fields.items()]

    return [
        *steps(DIFFUSION),
        *steps(DIFFUSION, reveal="steps"),
        *steps(SELF_SPECULATION),
        *(Setting("threshold", DIFFUSION, value, {"threshold": value}) for value in THRESHOLDS),
        *(
            Setting("block_length", mode, n, {"block_length": n})
            for mode in (DIFFUSION, SELF_SPECULATION)
            for n in BLOCKS
        ),
    ]


def measure(context: Context) -> dict[str, Data]:
    """Return a row per setting, after at least MIN_ROUNDS rounds and until the time is up.

    One prompt warms up; where it shows that time is short, fewer prompts are asked.
    """
    runtime, prompts, max_tokens = context.runtime, context.prompts, context.options.max_tokens
    points = settings(max(32, runtime.manifest.block_size))

    def ask(index: int, point: int | None) -> tuple[float, Chunk]:
        chosen = BASELINE if point is None else {"mode": points[point].mode, **points[point].fields}
        chunk, spent, _ = ask_runtime(runtime, prompts[index], {**chosen, "max_tokens": max_tokens})
        return spent, chunk

    every = (None, *range(len(points)))
    cost = sum(ask(0, point)[0] for point in every)
    prompts = asked.spread(prompts, max(MIN_PROMPTS, int(context.seconds / MIN_ROUNDS / cost)))
    calls = [(index, point) for index in range(len(prompts)) for point in every]
    taken: defaultdict[int | None, dict[Key, tuple[float, Chunk]]] = defaultdict(dict)
    for rounds, (index, point) in context.pace().shuffled(calls, MIN_ROUNDS, 0):
        taken[point][rounds, index] = ask(index, point)
    rows = [_row(point, taken[number], taken[None], prompts) for number, point in enumerate(points)]
    return {"sweep": {"rounds": rounds, "prompts": len(prompts), "max_tokens": max_tokens, "rows": rows}}


def _row(point: Setting, own: Taken, base: Taken, prompts: list[Prompt]) -> dict[str, Any]:
    answers = [
        Answer.of(prompts[index], point.mode, chunk, base[number, index][1])
        for (number, index), (_, chunk) in sorted(own.items(), key=lambda item: item[0])
    ]
    head = {"sweep": point.sweep, "mode": point.mode, "value": point.value, "fields": point.fields}
    return {**head, **figures(answers), "speed_per_token": asdict(paired(_per_token(base), _per_token(own)))}


def _per_token(taken: Taken) -> dict[Key, float]:
    return {key: spent / max(1, chunk.counters.output_tokens) for key, (spent, chunk) in taken.items()}


def section(found: Found) -> str:
    """Return every point of the sweeps."""
    sweep = found["sweep"]
    titles = ("mode", "knob", "value", "speed per token", *DECODED)
    rows = [
        [row["mode"], row["sweep"], f"{row['value']:g}", spread(row["speed_per_token"]), *decoded(row)]
        for row in sweep["rows"]
    ]
    block = max(row["fields"]["block_length"] for row in sweep["rows"] if row["sweep"] == "denoise_steps")
    return f"""## The knobs of a block

In process, {sweep["prompts"]} prompts, {sweep["rounds"]} rounds interleaved with autoregressive, against which speed
is given. Knobs not named are at their defaults. `denoise_steps` bounds the passes over a block of {block}: in mode
diffusion a pass keeps every token that reaches the threshold, with `reveal` steps an equal share instead; in mode
self_speculation the passes refine the draft, which one more pass verifies.

{table(titles, rows)}

![steps](plots/steps.png)
"""


def fastest(sweep: Data) -> str:
    """Say which block_length was the fastest of the sweep in each mode that has one."""
    best = []
    for mode in ("diffusion", "self_speculation"):
        rows = [row for row in sweep["rows"] if (row["mode"], row["sweep"]) == (mode, "block_length")]
        row = max(rows, key=lambda row: row["speed_per_token"]["median"])
        best.append(f"{row['value']:g} in {mode} with {spread(row['speed_per_token'])}")
    return ", ".join(best)


def plot(found: Found, path: Path) -> None:
    """Draw tokens per forward and equal texts by denoise_steps."""
    lines = (
        ("diffusion", "denoise_steps", "diffusion", "o-"),
        ("diffusion", "denoise_steps, reveal steps", "diffusion, reveal steps", "o--"),
        ("self_speculation", "denoise_steps", "self_speculation", "o-"),
    )
    with figure(path, 8, 3.4, columns=2) as (left, right):
        for mode, name, label, style in lines:
            rows = [row for row in found["sweep"]["rows"] if (row["mode"], row["sweep"]) == (mode, name)]
            ticks = [row["value"] for row in rows]
            left.plot(ticks, [row["tokens_per_forward"] for row in rows], style, label=label, color=COLOURS[mode])
            share = [100 * row["equals_autoregressive"] for row in rows]
            right.plot(ticks, share, style, label=label, color=COLOURS[mode])
        for axes, title in ((left, "tokens per forward"), (right, "% of texts equal to autoregressive")):
            powers_of_two(axes, ticks, "denoise_steps", title)
            axes.set_ylim(bottom=0)
        left.axhline(1.0, color=COLOURS["autoregressive"], linewidth=1)
        left.legend(frameon=False, fontsize=8)
        left.figure.suptitle(found["sweep"]["hardware"]["engine"], fontsize=9)


PART = Part("knobs", "sweep of knobs", ("sweep",), 25, measure, section, plot=("steps.png", plot))

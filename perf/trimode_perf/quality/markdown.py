"""The results as Markdown tables. Knows nothing of the text around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from trimode.api.fields import Mode

from . import paper
from .claims import CODE, Run, claimed, find
from .effort import table
from .perplexity import together
from .settings import (
    BLOCKS,
    FINISHED,
    JOINT_BLOCKS,
    JOINT_STEPS,
    JOINT_THRESHOLDS,
    SWEPT_BLOCKS,
    SWEPT_STEPS,
    SWEPT_THRESHOLDS,
    THRESHOLD,
)
from .tally import Counts, per_cycle, per_forward

NOTHING = "-"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], align: str = "---:") -> str:
    """Return a Markdown table whose first column is text."""
    lines = [head, ["---", *[align] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def exact(counts: Counts) -> str:
    """Share of exact answers; of several domains the mean of their shares."""
    if counts["exact"] is None:
        return NOTHING
    return f"{counts['accuracy'] if 'accuracy' in counts else counts['exact'] / counts['asked']:.0%}"


def domains(results: dict[str, Any]) -> str:
    """Return the main table: every domain in every mode, and the claimed ones together."""
    serial = _run(results, Mode.AUTOREGRESSIVE)
    diffused = [_run(results, Mode.DIFFUSION, block, threshold=THRESHOLD) for block in BLOCKS]
    kinds = [kind for kind in (True, False) if find(results, Mode.SELF_SPECULATION, BLOCKS[0], adapter=kind)]
    head = ["domain", "ar exact", *(f"diffusion {block}: exact, tokens/forward" for block in BLOCKS)]
    drafted = []
    for kind in kinds:
        name = {(True, 2): "with adapter", (False, 2): "without adapter"}.get((kind, len(kinds)), "")
        head.append(f"self-speculation {', '.join(map(str, BLOCKS))} {name}".strip() + ": tokens/cycle (/forward)")
        drafted.append([_run(results, Mode.SELF_SPECULATION, block, adapter=kind) for block in BLOCKS])

    def row(label: str, pick: Callable[[Run], Counts], nats: Counts) -> list[str]:
        cells = [label, exact(pick(serial))]
        cells += [_exact_and_forward(pick(run)) for run in diffused]
        cells += [", ".join(_drafted(pick(run)) for run in runs) for runs in drafted]
        return [*cells, f"{nats['perplexity']:.2f}"]

    claims, losses = claimed(serial), results["perplexity"]["domains"]
    chats = sorted(set(serial["domains"]) - {CODE})
    rows = [row(_label(name, claims), lambda run, name=name: run["domains"][name], losses[name]) for name in chats]
    rows.append(row("**all claimed**", lambda run: run["all"], together(losses[name] for name in claims)))
    if CODE in serial["domains"]:
        rows.append(row("code (plain text)", lambda run: run["domains"][CODE], losses[CODE]))
    return grid([*head, "perplexity of ar"], rows, "---")


def _label(name: str, claims: Sequence[str]) -> str:
    return name if name in claims else f"{name} (not claimed)"


def _drafted(counts: Counts) -> str:
    """Tokens per cycle and, in brackets, per forward."""
    return f"{per_cycle(counts):.1f} ({per_forward(counts):.1f})"


def _costs(counts: Counts) -> list[str]:
    """Tokens per forward and, of drafts, per cycle."""
    return [f"{per_forward(counts):.2f}", f"{per_cycle(counts):.2f}" if "accepted" in counts else NOTHING]


def _exact_and_forward(counts: Counts) -> str:
    return f"{exact(counts)}, {per_forward(counts):.1f}"


def thresholds(results: dict[str, Any]) -> str:
    """Return diffusion by threshold and block length."""
    rows = [
        [f"{value:g}", *(_cell(results, block, block, value) for block in SWEPT_BLOCKS)] for value in SWEPT_THRESHOLDS
    ]
    return grid(["threshold", *(f"block {block}" for block in SWEPT_BLOCKS)], rows)


def steps(results: dict[str, Any]) -> str:
    """Return diffusion by fixed steps and block length."""
    rows = [[str(value), *(_cell(results, block, value, None) for block in SWEPT_BLOCKS)] for value in SWEPT_STEPS]
    return grid(["denoise_steps", *(f"block {block}" for block in SWEPT_BLOCKS)], rows)


def joint(results: dict[str, Any]) -> str:
    """Return diffusion by threshold and bound on the passes together."""
    columns = [(block, value) for block in JOINT_BLOCKS for value in JOINT_THRESHOLDS]
    rows = [[str(bound), *(_cell(results, block, bound, value) for block, value in columns)] for bound in JOINT_STEPS]
    return grid(["at most", *(f"block {block}, threshold {value:g}" for block, value in columns)], rows)


def finished(results: dict[str, Any]) -> str:
    """Return diffusion at the longest block with and without blocks that are revised once."""
    rows = []
    for bound, threshold in FINISHED:
        point = {"prompts": "sweep", "denoise_steps": bound, "threshold": threshold}
        runs = [find(results, Mode.DIFFUSION, BLOCKS[0], **point, revise_rounds=rounds) for rounds in (0, 1)]
        name = f"threshold {threshold:g}, at most {bound} steps"
        rows.append([name, *(_exact_and_forward(run["all"]) if run else NOTHING for run in runs)])
    return grid([f"block {BLOCKS[0]}", "as it is", "revise_rounds 1"], rows)


def effort(results: dict[str, Any]) -> str:
    """Return the levels of `effort`."""
    rows = [
        [
            f"{level['effort']:g}",
            *(str(level[name]) for name in ("block_length", "denoise_steps")),
            NOTHING if level["threshold"] is None else f"{level['threshold']:g}",
            str(level["revise_rounds"]),
            f"{level['accuracy']:.1%}",
            f"{1 / level['forwards_per_token']:.1f}",
        ]
        for level in table(results)["levels"]
    ]
    head = ["effort from", "block_length", "denoise_steps", "threshold", "revise_rounds", "exact", "tokens/forward"]
    return grid(head, rows)


def _cell(results: dict[str, Any], block: int, bound: int, threshold: float | None) -> str:
    """Return one point of the sweep, where there is such a one."""
    run = find(results, Mode.DIFFUSION, block, prompts="sweep", denoise_steps=bound, threshold=threshold)
    return _exact_and_forward(run["all"]) if run else ""


def precisions(results: dict[str, Any]) -> str:
    """Return each mode's figures in float32 and, where it was run, int8."""
    rows = []
    for mode, block, wanted in _main(results):
        for precision in ("float32", "int8"):
            run = find(results, mode, block, precision=precision, **wanted)
            if run:
                sums = run["all"]
                same = f"{sums['same_as_autoregressive'] / sums['asked']:.1%}"
                cells = [precision, f"{sums['accuracy']:.1%}", same]
                rows.append([_name(mode, block), *cells, *_costs(sums)])
    return grid(["mode", "precision", "exact", "same as ar", "tokens/forward", "tokens/cycle"], rows)


def _main(results: dict[str, Any]) -> list[tuple[Mode, int | None, dict[str, Any]]]:
    """Return each mode at the longest block, as arguments of `find`."""
    return [
        (Mode.AUTOREGRESSIVE, None, {}),
        (Mode.DIFFUSION, BLOCKS[0], {"threshold": THRESHOLD}),
        (Mode.SELF_SPECULATION, BLOCKS[0], {"adapter": results["settings"]["adapter"]}),
    ]


def _name(mode: str, block: int | None) -> str:
    return f"{mode} {block}" if block else str(mode)


def parsed(results: dict[str, Any]) -> str:
    """Return how many replies of the domains with a grammar parse."""
    runs = [(mode, block, _run(results, mode, block, **wanted)) for mode, block, wanted in _main(results)]
    names = [name for name, counts in runs[0][2]["domains"].items() if "parsed" in counts]

    def cell(counts: Counts) -> str:
        return f"{counts['parsed']} of {counts['asked']}"

    rows = [[name, *(cell(run["domains"][name]) for _, _, run in runs)] for name in sorted(names)]
    return grid(["domain", *(_name(mode, block) for mode, block, _ in runs)], rows)


def human_eval(results: dict[str, Any]) -> str:
    """Return tokens per forward and cycle on HumanEval's prompts."""
    rows = []
    for run in results["human_eval"]["runs"]:
        counts = run["all"]
        adapter = ", adapter" if run["adapter"] else ""
        name = _name(run["mode"], run["block_length"]) + adapter
        same = f"{counts['same_as_autoregressive']} of {counts['asked']}"
        rows.append([name, same, *_costs(counts)])
    return grid(["mode", "same as ar", "tokens/forward", "tokens/cycle"], rows)


def beside_the_paper(results: dict[str, Any]) -> str:
    """Return this checkpoint's main figures and the published ones of the 8B model in one table."""
    adapter = results["settings"]["adapter"]
    own: list[tuple[str, Run | None]] = [
        ("autoregressive", find(results, Mode.AUTOREGRESSIVE)),
        ("diffusion, block 8, threshold 0.9", find(results, Mode.DIFFUSION, 8, threshold=THRESHOLD)),
        ("linear self-speculation", find(results, Mode.SELF_SPECULATION, BLOCKS[0], adapter=False)),
    ]
    if adapter:
        own.append(("linear self-speculation, adapter", find(results, Mode.SELF_SPECULATION, BLOCKS[0], adapter=True)))
    runs = dict(own)
    rows = []
    for mode, _, average, tokens in paper.MODES:
        run = runs.get(mode)
        sums = run["all"] if run else None
        cells = [f"{sums['accuracy']:.1%}", *_costs(sums)] if sums else [NOTHING] * 3
        rows.append([mode, *cells, f"{average:.2f}", f"{tokens:.2f}"])
    head = ["mode", "nano: exact", "tokens/forward", "tokens/cycle", "8B: accuracy", "8B: TPF"]
    return grid(head, rows)


def paper_benchmarks() -> str:
    """Return the published accuracy of the 8B model by benchmark."""
    rows = [
        [mode, *(f"{value:.2f}" for value in by_benchmark)]
        for mode, by_benchmark, _, _ in paper.MODES
        if by_benchmark is not None
    ]
    return grid(["8B", *paper.BENCHMARKS], rows)


def claims(results: dict[str, Any]) -> str:
    """Return what must hold, and whether it does."""
    rows = [[c["claim"], c["measured"], "pass" if c["holds"] else "**fail**"] for c in results["claims"]]
    return grid(["what must hold", "measured", ""], rows, "---")


def bits_per_byte(entry: dict[str, Any]) -> float:
    """Bits of a byte of text, which vocabularies of other sizes can be compared by."""
    return float(entry["nats"] / math.log(2) / entry["bytes"])


def _run(results: dict[str, Any], mode: str, block: int | None = None, **wanted: Any) -> Run:
    run = find(results, mode, block, **wanted)
    if run is None:
        raise ValueError(f"the results lack {mode} at block {block}")
    return run

"""The results as Markdown tables. Knows nothing of the text around them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

from trimode.api.fields import Mode

from ..common.markdown import table
from ..common.prompts import CODE
from ..common.published import BENCHMARKS, MODES_8B
from . import effort as levels
from . import settings
from .claims import Run, claimed, find, needed
from .perplexity import together
from .settings import BLOCKS, THRESHOLD
from .tally import Counts, per_cycle, per_forward

NOTHING = "-"


def grid(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table whose first column is text."""
    return table(head, rows, left=head[:1])


def exact(counts: Counts) -> str:
    """Share of exact answers; of several domains the mean of their shares."""
    if counts["exact"] is None:
        return NOTHING
    return f"{counts['accuracy'] if 'accuracy' in counts else counts['exact'] / counts['asked']:.0%}"


def domains(results: dict[str, Any]) -> str:
    """Return the main table: every domain in every mode, and the claimed ones together."""
    serial = needed(results, Mode.AUTOREGRESSIVE)
    diffused = [needed(results, Mode.DIFFUSION, block, threshold=THRESHOLD) for block in BLOCKS]
    kinds = [kind for kind in (True, False) if find(results, Mode.SELF_SPECULATION, BLOCKS[0], adapter=kind)]
    head = ["domain", "ar exact", *(f"diffusion {block}: exact, tokens/forward" for block in BLOCKS)]
    drafted = []
    for kind in kinds:
        name = {(True, 2): "with adapter", (False, 2): "without adapter"}.get((kind, len(kinds)), "")
        head.append(f"self-speculation {', '.join(map(str, BLOCKS))} {name}".strip() + ": tokens/cycle (/forward)")
        drafted.append([needed(results, Mode.SELF_SPECULATION, block, adapter=kind) for block in BLOCKS])

    def row(label: str, name: str | None, nats: Counts) -> list[str]:
        """Return the row of the domain `name`, or of all claimed ones."""

        def of(run: Run) -> Counts:
            return dict(run["domains"][name] if name else run["all"])

        cells = [label, exact(of(serial)), *(_exact_and_forward(of(run)) for run in diffused)]
        cells += [", ".join(_drafted(of(run)) for run in runs) for runs in drafted]
        return [*cells, f"{nats['perplexity']:.2f}"]

    known, losses = claimed(serial), results["perplexity"]["domains"]
    chats = sorted(set(serial["domains"]) - {CODE})
    rows = [row(name if name in known else f"{name} (not claimed)", name, losses[name]) for name in chats]
    rows.append(row("**all claimed**", None, together(losses[name] for name in known)))
    if CODE in serial["domains"]:
        rows.append(row("code (plain text)", CODE, losses[CODE]))
    head.append("perplexity of ar")
    return table(head, rows, left=head)


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
    blocks = settings.SWEPT_BLOCKS
    rows = [
        [f"{value:g}", *(_cell(results, block, block, value) for block in blocks)]
        for value in settings.SWEPT_THRESHOLDS
    ]
    return grid(["threshold", *(f"block {block}" for block in blocks)], rows)


def steps(results: dict[str, Any]) -> str:
    """Return diffusion by fixed steps and block length."""
    blocks = settings.SWEPT_BLOCKS
    rows = [[value, *(_cell(results, block, value, None) for block in blocks)] for value in settings.SWEPT_STEPS]
    return grid(["denoise_steps", *(f"block {block}" for block in blocks)], rows)


def joint(results: dict[str, Any]) -> str:
    """Return diffusion by threshold and bound on the passes together."""
    columns = list(product(settings.JOINT_BLOCKS, settings.JOINT_THRESHOLDS))
    rows = [
        [bound, *(_cell(results, block, bound, value) for block, value in columns)] for bound in settings.JOINT_STEPS
    ]
    return grid(["at most", *(f"block {block}, threshold {value:g}" for block, value in columns)], rows)


def finished(results: dict[str, Any]) -> str:
    """Return diffusion at the longest block with and without blocks that are revised once."""
    rows = []
    for bound, threshold in settings.FINISHED:
        point = {"prompts": "sweep", "denoise_steps": bound, "threshold": threshold}
        runs = [find(results, Mode.DIFFUSION, BLOCKS[0], **point, revise_rounds=rounds) for rounds in (0, 1)]
        name = f"threshold {threshold:g}, at most {bound} steps"
        rows.append([name, *(_exact_and_forward(run["all"]) if run else NOTHING for run in runs)])
    return grid([f"block {BLOCKS[0]}", "as it is", "revise_rounds 1"], rows)


def effort(results: dict[str, Any]) -> str:
    """Return the levels of `effort`."""
    names = ("block_length", "denoise_steps", "threshold", "revise_rounds")
    rows = []
    for level in levels.table(results)["levels"]:
        values = [NOTHING if level[name] is None else f"{level[name]:g}" for name in names]
        given = (f"{level['accuracy']:.1%}", f"{1 / level['forwards_per_token']:.1f}")
        rows.append([f"{level['effort']:g}", *values, *given])
    return grid(["effort from", *names, "exact", "tokens/forward"], rows)


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
    runs = [(mode, block, needed(results, mode, block, **wanted)) for mode, block, wanted in _main(results)]
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


def paper(results: dict[str, Any]) -> str:
    """Return this checkpoint's main figures and the published ones of the 8B model in one table."""
    own = {
        "autoregressive": find(results, Mode.AUTOREGRESSIVE),
        "diffusion, block 8, threshold 0.9": find(results, Mode.DIFFUSION, 8, threshold=THRESHOLD),
        "linear self-speculation": find(results, Mode.SELF_SPECULATION, BLOCKS[0], adapter=False),
        "linear self-speculation, adapter": find(results, Mode.SELF_SPECULATION, BLOCKS[0], adapter=True),
    }
    rows = []
    for row in MODES_8B:
        run = own.get(row["mode"])
        cells = [f"{run['all']['accuracy']:.1%}", *_costs(run["all"])] if run else [NOTHING] * 3
        rows.append([row["mode"], *cells, f"{row['average']:.2f}", f"{row['tokens_per_forward']:.2f}"])
    head = ["mode", "nano: exact", "tokens/forward", "tokens/cycle", "8B: accuracy", "8B: TPF"]
    return grid(head, rows)


def benchmarks(results: dict[str, Any]) -> str:
    """Return the published accuracy of the 8B model by benchmark; it is no result of ours."""
    rows = [[row["mode"], *(f"{value:.2f}" for value in row["accuracy"])] for row in MODES_8B if row["accuracy"]]
    return grid(["8B", *BENCHMARKS], rows)


def claims(results: dict[str, Any]) -> str:
    """Return what must hold, and whether it does."""
    rows = [[c["claim"], c["measured"], "pass" if c["holds"] else "**fail**"] for c in results["claims"]]
    head = ["what must hold", "measured", ""]
    return table(head, rows, left=head)


def bits_per_byte(entry: dict[str, Any]) -> float:
    """Bits of a byte of text, which vocabularies of other sizes can be compared by."""
    return float(entry["nats"] / math.log(2) / entry["bytes"])


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    **{"claims": claims, "by_domain": domains, "thresholds": thresholds, "steps": steps, "joint": joint},
    **{"finished": finished, "effort": effort, "precisions": precisions, "parsed": parsed},
    **{"human_eval": human_eval, "paper": paper, "benchmarks": benchmarks},
}
"""The card's tables by the names that card.md has for them."""

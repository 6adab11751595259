"""The results as Markdown tables. Knows nothing of the text around them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

from trimode.api.fields import Mode

from ..common.markdown import table
from ..common.prompts import CODE
from ..common.published import BENCHMARKS, MODES_8B
from . import settings
from .claims import Run, claimed, find, needed, reads
from .settings import BLOCKS, THRESHOLD
from .tally import Counts, per_cycle, per_forward, together

NOTHING = "-"
KNOBS = ("block_length", "denoise_steps", "threshold", "revise_rounds")
"""What a level of effort sets."""


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
    drafted = [[needed(results, Mode.SELF_SPECULATION, block, adapter=kind) for block in BLOCKS] for kind in kinds]
    names = {True: " with adapter", False: " without adapter"} if len(kinds) == 2 else dict.fromkeys(kinds, "")
    blocks = ", ".join(map(str, BLOCKS))
    head = ["domain", "ar exact", *(f"diffusion {block}: exact, tokens/forward" for block in BLOCKS)]
    head += [f"self-speculation {blocks}{names[kind]}: tokens/cycle (/forward)" for kind in kinds]

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
    return table([*head, "perplexity of ar"], rows, left=[*head, "perplexity of ar"])


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
    points = [(f"{value:g}", None, value) for value in settings.SWEPT_THRESHOLDS]
    return _grid(results, "threshold", points)


def steps(results: dict[str, Any]) -> str:
    """Return diffusion by fixed steps and block length."""
    return _grid(results, "denoise_steps", [(str(value), value, None) for value in settings.SWEPT_STEPS])


def _grid(results: dict[str, Any], name: str, points: Sequence[tuple[str, int | None, float | None]]) -> str:
    """Return a row for each point (its label, steps or None for the block's, threshold), a column for each block."""
    blocks = settings.SWEPT_BLOCKS
    rows = [
        [label, *(_cell(results, block, bound or block, value) for block in blocks)] for label, bound, value in points
    ]
    return grid([name, *(f"block {block}" for block in blocks)], rows)


def joint(results: dict[str, Any]) -> str:
    """Return diffusion by threshold and bound on the passes together."""
    columns = list(product(settings.JOINT_BLOCKS, settings.JOINT_THRESHOLDS))
    rows = [
        [steps, *(_cell(results, block, steps, value) for block, value in columns)] for steps in settings.JOINT_STEPS
    ]
    return grid(["at most", *(f"block {block}, threshold {value:g}" for block, value in columns)], rows)


def finished(results: dict[str, Any]) -> str:
    """Return diffusion at the longest block with and without blocks that are revised once."""
    rows = [
        [
            f"threshold {threshold:g}, at most {steps} steps",
            *(_cell(results, BLOCKS[0], steps, threshold, revise_rounds=rounds) or NOTHING for rounds in (0, 1)),
        ]
        for steps, threshold in settings.FINISHED
    ]
    return grid([f"block {BLOCKS[0]}", "as it is", "revise_rounds 1"], rows)


def _cell(results: dict[str, Any], block: int, steps: int, threshold: float | None, revise_rounds: int = 0) -> str:
    """Return one point of the sweep, where there is such a one."""
    point = {"denoise_steps": steps, "threshold": threshold, "revise_rounds": revise_rounds}
    run = find(results, Mode.DIFFUSION, block, prompts="sweep", **point)
    return _exact_and_forward(run["all"]) if run else ""


def efforts(results: dict[str, Any]) -> dict[str, Any]:
    """Return effort.json, the table behind the request's field: levels that share 0 to 1 evenly, the cheapest first.

    A setting of diffusion is a level if every setting that costs as little or less answers fewer of the claimed
    domains' prompts.
    """
    same = (Mode.DIFFUSION, "float32", "sweep")
    swept = [run for run in results["runs"] if (run["mode"], run["precision"], run["prompts"]) == same]
    front: list[Run] = []
    for run in sorted(swept, key=lambda run: (run["all"]["forwards"] / run["all"]["tokens"], -run["all"]["exact"])):
        if not front or run["all"]["exact"] > front[-1]["all"]["exact"]:
            front.append(run)
    return {
        "checkpoint_hash": results["checkpoint"]["hash"],
        "engine": results["settings"]["engine"],
        "prompts": swept[0]["all"]["asked"],
        "levels": [
            {
                "effort": round(at / len(front), 4),
                **{name: run[name] for name in KNOBS},
                "accuracy": round(run["all"]["exact"] / run["all"]["asked"], 4),
                "forwards_per_token": round(run["all"]["forwards"] / run["all"]["tokens"], 4),
            }
            for at, run in enumerate(front)
        ],
    }


def effort(results: dict[str, Any]) -> str:
    """Return the levels of `effort`."""
    rows = []
    for level in efforts(results)["levels"]:
        values = [NOTHING if level[name] is None else f"{level[name]:g}" for name in KNOBS]
        gained = (f"{level['accuracy']:.1%}", f"{1 / level['forwards_per_token']:.1f}")
        rows.append([f"{level['effort']:g}", *values, *gained])
    return grid(["effort from", *KNOBS, "exact", "tokens/forward"], rows)


def precisions(results: dict[str, Any]) -> str:
    """Return each mode's figures in float32 and in what it was run of fewer bits."""
    rows = []
    for (mode, block, wanted), precision in product(_main(results), ("float32", *settings.FEWER_BITS)):
        if run := find(results, mode, block, precision=precision, **wanted):
            sums = run["all"]
            same = f"{sums['same_as_autoregressive'] / sums['asked']:.1%}"
            rows.append([_name(mode, block), precision, f"{sums['accuracy']:.1%}", same, *_costs(sums)])
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
    runs = {_name(mode, block): needed(results, mode, block, **wanted) for mode, block, wanted in _main(results)}
    serial = next(iter(runs.values()))
    names = sorted(name for name, counts in serial["domains"].items() if "parsed" in counts)
    cells = {name: [run["domains"][name] for run in runs.values()] for name in names}
    rows = [[name, *(f"{one['parsed']} of {one['asked']}" for one in counts)] for name, counts in cells.items()]
    return grid(["domain", *runs], rows)


def human_eval(results: dict[str, Any]) -> str:
    """Return tokens per forward and cycle on HumanEval's prompts."""
    rows = []
    for run in results["human_eval"]["runs"]:
        name = _name(run["mode"], run["block_length"]) + (", adapter" if run["adapter"] else "")
        same = f"{run['all']['same_as_autoregressive']} of {run['all']['asked']}"
        rows.append([name, same, *_costs(run["all"])])
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
    return grid(
        ["mode", f"{results['settings']['model']}: exact", "tokens/forward", "tokens/cycle", "8B: accuracy", "8B: TPF"],
        rows,
    )


def benchmarks(results: dict[str, Any]) -> str:
    """Return the published accuracy of the 8B model by benchmark; it is no result of ours."""
    rows = [[row["mode"], *(f"{value:.2f}" for value in row["accuracy"])] for row in MODES_8B if row["accuracy"]]
    return grid(["8B", *BENCHMARKS], rows)


def pictures(results: dict[str, Any]) -> str:
    """Return every picture domain in every mode: exact, and with a blank picture; tokens per forward."""
    runs = [run for run in results["pictures"]["runs"] if not run["blank"]]
    blanks = [run for run in results["pictures"]["runs"] if run["blank"]]
    known, chance = reads(results), results["pictures"]["chance"]
    head = ["domain", "chance", *(_of_pictures(run) for run in runs)]

    def cell(seen: Counts, blank: Counts) -> str:
        return f"{exact(seen)} ({exact(blank)}), {per_forward(seen):.1f}"

    rows = []
    for name in runs[0]["domains"]:
        pairs = [(run["domains"][name], blank["domains"][name]) for run, blank in zip(runs, blanks, strict=True)]
        label = name if name in known else f"{name} (not claimed)"
        rows.append([label, f"{chance[name]:.0%}", *(cell(*pair) for pair in pairs)])
    return grid(head, rows)


def _of_pictures(run: Run) -> str:
    """Return a mode's name, with how it drafts where that is not the usual way."""
    return _name(run["mode"], run["block_length"]) + (", quadratic" if run["speculation"] == "quadratic" else "")


def claims(results: dict[str, Any]) -> str:
    """Return what must hold, and whether it does."""
    rows = [[c["claim"], c["measured"], "pass" if c["holds"] else "**fail**"] for c in results["claims"]]
    head = ["what must hold", "measured", ""]
    return table(head, rows, left=head)


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    **{"claims": claims, "by_domain": domains, "thresholds": thresholds, "steps": steps, "joint": joint},
    **{"finished": finished, "effort": effort, "precisions": precisions, "parsed": parsed},
    **{"human_eval": human_eval, "paper": paper, "benchmarks": benchmarks},
}
"""The card's tables by the names that card.md has for them."""

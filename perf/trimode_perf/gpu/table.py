"""The results as Markdown: parity, passes against the roofline, one sequence, and the speed that all that implies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from ..common.markdown import spread, table
from ..common.published import DIFFUSION_PER_FORWARD, SPECULATION_PER_CYCLE
from .record import REHEARSED

DIFFUSION_BLOCK = 8  # the block length that the published figure is of
SPECULATION_BLOCK = 32
PASSES_A_CYCLE = 2  # a draft and its verification
NOTE = (
    "implied, not measured: published tokens per forward or cycle (arXiv 2607.05722, Tables 6 and 7) over the measured "
    "milliseconds of a pass; no text was generated at these sizes"
)
ATTENTION = {
    "capacity": "torch's SDPA over all that the cache has room for, under a mask",
    "longest": "torch's SDPA over the longest row's entries, under a mask, as the torch engine calls it",
    "each row": "torch's SDPA once for each row, over its own entries",
    "lengths": "this project's kernel in the Triton language, over each row's own entries",
    "flex": "FlexAttention, compiled, under a block mask of each row's entries",
}
"""The ways to attend."""
ATTENTION_NOTE = (
    "Median microseconds of one layer's attention, 32 query heads over 8 of keys and values of 128 numbers, each way "
    "equal to a float32 reference first. `entries` are the longest row's, of eight rows the others have fewer; `least` "
    "is what reading the keys and values that the rows have takes at the measured copy bandwidth, and in brackets its "
    "share of the time. Masks are made before, as a pass makes them once for all layers."
)
LEFT = ("engine", "checkpoint", "mode", "same ids", "size", "milliseconds", "attention")
"""Titles of columns that are set to the left."""


def text(found: dict[str, Any]) -> str:
    """Return the whole report."""
    device = found["device"]
    facts = ", ".join(f"{key} {value}" for key, value in device.items() if key not in ("name", "type"))
    lines = [f"# {REHEARSED}", ""] if device["type"] != "cuda" else []
    lines += [f"# {device['name']}", "", f"{facts}. Written by `{found['command']}`.", ""]
    for part in (_stopped, _parity, _expected, _calls, _driver, _product, _attention, _passes, _one_sequence, _implied):
        lines += part(found)
    return "\n".join(lines).rstrip() + "\n"


def _stopped(found: dict[str, Any]) -> list[str]:
    """What the time was over for; the next run goes on with it."""
    if not (stopped := found.get("stopped")):
        return []
    return ["## Not finished", "", "; ".join(f"{name}: {said}" for name, said in stopped.items()) + ".", ""]


def ceiling(row: dict[str, Any], ceilings: dict[str, float]) -> float:
    """Return the least milliseconds that bandwidth and arithmetic allow."""
    moved: float = row["bytes"] / ceilings["copy_bytes_per_second"]
    done: float = row["operations"] / ceilings["operations_per_second"]
    return 1000 * max(moved, done)


def _parity(found: dict[str, Any]) -> list[str]:
    lines = ["## Parity", "", "Greedy, one sequence at a time; the same ids to the last one.", ""]
    rows = []
    for name, engine in found.get("parity", {}).items():
        rows += [(name, "", "", f"{how}: {engine[how]}") for how in ("skipped", "failed") if how in engine]
        for row in engine.get("rows", []):
            rows.append((engine["engine"], row["checkpoint"], row["mode"], f"{row['same_ids']} of {row['asked']}"))
    return [*lines, table(("engine", "checkpoint", "mode", "same ids"), rows, LEFT), ""]


def _expected(found: dict[str, Any]) -> list[str]:
    if not found.get("expected"):
        return []
    rows = [(row["runtime"], row["precision"], row["found"]) for row in found["expected"]]
    lines = ["## Expected rows", "", "Some passes of the shipped checkpoint against the numpy model, as at each start."]
    titles = ("runtime", "precision", "answers")
    return [*lines, "", table(titles, rows, titles), ""]


def _calls(found: dict[str, Any]) -> list[str]:
    """Random calls: the largest differences against the processor, and against the same rows alone."""
    if not (calls := found.get("calls")):
        return []
    said = [f"{how}: {calls[how]}." for how in ("skipped", "failed") if how in calls]
    if "largest" in calls:
        said.append(
            f"{calls['rows']} rows in {calls['calls']} random calls of the torch engine: logits differ from the "
            f"processor's by {calls['largest']:.1e} of the largest, and by {calls['alone']:.1e} where a row runs alone."
        )
    return ["## Random calls", "", " ".join(said), ""]


def _driver(found: dict[str, Any]) -> list[str]:
    """The copies, lanes and graphs of the TensorRT engine's own CUDA."""
    if not (states := found.get("driver")):
        return []
    return ["## CUDA's driver", "", "; ".join(f"{name}: {state}" for name, state in states.items()) + ".", ""]


def _product(found: dict[str, Any]) -> list[str]:
    """The product's loop: tokens a second, what of the bandwidth passes reach, and what the host adds to a pass."""
    rows, ceilings = [], found.get("ceilings")
    for row in found.get("product", []):
        least = row["passes"] * row["weight_bytes"] / ceilings["copy_bytes_per_second"] if ceilings else 0.0
        inside = row["seconds_in_passes"]
        rows.append(
            (
                *(row["size"], row["mode"], row["rows"], row["passes"], f"{row['tokens'] / row['seconds']:.1f}"),
                *(f"{1000 * inside / row['passes']:.3f}", f"{least / inside:.0%}"),
                *(f"{row['host_milliseconds_a_pass']:.3f}", f"{row['downloads'] / row['passes']:.2f}"),
            )
        )
    lines = ["## The product's loop", ""]
    if "product_skipped" in found:
        return [*lines, f"Skipped: {found['product_skipped']}.", ""]
    if not rows:
        return []
    lines += [
        "This project's scheduler and torch engine, random weights, so that next to no draft is accepted. `weights` is "
        "the time that reading them at the measured copy bandwidth would take, over the time inside passes; `host` is "
        "what is outside them.",
        "",
    ]
    names = ("size", "mode", "rows", "passes", "tokens/s", "ms a pass", "weights", "host ms a pass", "copies a pass")
    return [*lines, table(names, rows, LEFT), ""]


def attention_fault(row: Mapping[str, Any]) -> str:
    """Return what a way to attend did wrong, and at which shape."""
    return f"attention, {_attended(row)}: failed: {row['failed']}"


def _attended(row: Mapping[str, Any]) -> str:
    """Return a way to attend, and its shape where the row has one."""
    if "length" not in row:
        return str(row["variant"])
    return f"{row['variant']}, tokens {row['tokens']}, rows {row['rows']}, entries {row['length']}"


def _attention(found: dict[str, Any]) -> list[str]:
    """Attention alone: a line for each shape, a column for each way, and why some have no time."""
    if not (rows := found.get("attention")):
        return []
    timed = {(row["variant"], row["rows"], row["tokens"], row["length"]): row for row in rows if "milliseconds" in row}
    bandwidth = found.get("ceilings", {}).get("copy_bytes_per_second")
    cells = []
    for shape in sorted({place[1:] for place in timed}):
        here = {variant: timed[variant, *shape] for variant in ATTENTION if (variant, *shape) in timed}
        least = 1e6 * next(iter(here.values()))["bytes"] / bandwidth if bandwidth else None
        cells.append(
            (*shape, f"{least:.1f}" if least else "", *(_microseconds(here.get(one), least) for one in ATTENTION))
        )
    lines = ["## Attention alone", "", ATTENTION_NOTE, ""]
    lines += [f"- {variant}: {what}" for variant, what in ATTENTION.items()]
    if cells:
        lines += ["", table(("rows", "tokens", "entries", "least", *ATTENTION), cells, LEFT)]
    why = [f"- {_attended(row)}: skipped: {row['skipped']}" for row in rows if "skipped" in row]
    why += [f"- {attention_fault(row)}" for row in rows if "failed" in row]
    return [*lines, *(["", *why] if why else []), ""]


def _microseconds(row: Mapping[str, Any] | None, least: float | None) -> str:
    if row is None:
        return ""
    taken = 1000 * row["milliseconds"]["median"]
    return f"{taken:.1f}" if least is None else f"{taken:.1f} ({least / taken:.0%})"


def _passes(found: dict[str, Any]) -> list[str]:
    ceilings = found.get("ceilings")
    if ceilings is None:
        return []
    bandwidth = f"{ceilings['copy_bytes_per_second'] / 1e9:.0f} GB/s"
    arithmetic = f"{ceilings['operations_per_second'] / 1e12:.2f} T/s"
    lines = [
        "## Passes",
        "",
        "Random weights. Median milliseconds of a pass with quartiles; `least` is what the bytes of weights and cache "
        f"over a measured copy bandwidth of {bandwidth} allow, or the operations over {arithmetic} where that is more; "
        "`reached` is least over median.",
        "",
    ]
    rows = []
    for row in found.get("passes", []):
        place = (row["size"], row["rows"], row["context"], row["tokens"])
        if "skipped" in row:
            rows.append((*place, "", "", "", f"skipped: {row['skipped']}"))
            continue
        taken, least = row["milliseconds"], ceiling(row, ceilings)
        rows.append((*place, spread(taken, 3), f"{least:.3f}", f"{least / taken['median']:.0%}", row["attention"]))
    names = ("size", "rows", "context", "tokens", "milliseconds", "least", "reached", "attention")
    return [*lines, table(names, rows, LEFT), ""]


def _one_sequence(found: dict[str, Any]) -> list[str]:
    """One row at a time: what one token reaches of the roofline, and what a block costs against it."""
    ceilings = found.get("ceilings")
    taken = {
        (row["size"], row["context"], row["tokens"]): row
        for row in found.get("passes", [])
        if "milliseconds" in row and row["rows"] == 1
    }
    rows = []
    for (size, context, tokens), one in taken.items():
        block, median = taken.get((size, context, 32)), one["milliseconds"]["median"]
        if tokens == 1 and block is not None and ceilings is not None:
            reached, times = ceiling(one, ceilings) / median, block["milliseconds"]["median"] / median
            rows.append((size, context, f"{reached:.0%}", f"{times:.2f}"))
    names = ("size", "context", "one token reaches of its least", "block of 32 over one token")
    return ["## One sequence", "", table(names, rows, LEFT), ""] if rows else []


def implied(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return tokens per second that measured passes imply, for every size, rows and context, all rows together.

    Arithmetic, not a measurement: no text was generated at these sizes. Left out: the control loop, prefill, sampling,
    and the draft adapter's own products.
    """
    taken: defaultdict[tuple[str, int, int], dict[int, float]] = defaultdict(dict)
    for row in rows:
        if "milliseconds" in row and row["size"] in DIFFUSION_PER_FORWARD:
            place = (row["size"], row["rows"], row["context"])
            taken[place][row["tokens"]] = row["milliseconds"]["median"] / (1000 * row["rows"])
    order, made = list(DIFFUSION_PER_FORWARD), []
    for place, seconds in sorted(taken.items(), key=lambda item: (order.index(item[0][0]), *item[0][1:])):
        tokens = {"autoregressive": (1, 1.0), "diffusion": (DIFFUSION_BLOCK, DIFFUSION_PER_FORWARD[place[0]])}
        for kind, cycle in SPECULATION_PER_CYCLE[place[0]].items():
            tokens[f"self_speculation {kind}"] = (SPECULATION_BLOCK, cycle / PASSES_A_CYCLE)
        speeds = {m: round(gained / seconds[size], 1) for m, (size, gained) in tokens.items() if size in seconds}
        made.append({**dict(zip(("size", "rows", "context"), place, strict=True)), "implied_tokens_per_second": speeds})
    return made


def _implied(found: dict[str, Any]) -> list[str]:
    rows, name = found.get("implied", []), "implied_tokens_per_second"
    modes = list(dict.fromkeys(mode for row in rows for mode in row[name]))
    if not modes:
        return []
    cells = [
        (row["size"], row["rows"], row["context"], *(f"{row[name][m]:.0f}" if m in row[name] else "" for m in modes))
        for row in rows
    ]
    made = table(("size", "rows", "context", *modes), cells, LEFT)
    return ["## Implied tokens per second", "", f"{NOTE.capitalize()}.", "", made]

"""`make gpu-check`: exact ids through every engine that is here, the product's loop, attention alone, passes.

Writes perf/results/gpu/<device>.json after every row, the table beside it after every part, and goes on where it was
interrupted. Exit codes: 0 done, 1 no GPU, an engine that failed or gave other ids, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from ..common.progress import progress, run
from ..common.published import CONFIGS, TINY
from . import calls, driver, expected, parity, table
from .attention import apart
from .attention.measure import TINY_WORK
from .attention.measure import Work as AttentionWork
from .attention.variants import VARIANTS
from .budget import Budget, Part, StoppedError, Work
from .device import Device
from .engines import ENGINES
from .needs import Unavailable
from .passes import Grid, measure
from .record import Record

SIZES = ("8b", "3b", "14b")
"""Released sizes in the order of worth: a deadline leaves out the last ones."""
GRID = Grid()
TINY_GRID = Grid(rows=(1, 2), tokens=(1, 8, 32), contexts=(64, 128))
TINY_SECONDS = 0.01
ATTENTION_SECONDS = {"cuda": 120.0, "cpu": 3600.0}
"""Attention alone takes no longer; what it does not reach is left to the next run. A rehearsal may be as slow as it is.
"""
WHEELS = "numpy, tokenizers, regex, jinja2, pyyaml and llguidance"
"""The packages that the product's loop needs beside torch; a machine without a network takes them along as wheels."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf gpu", description=__doc__)
    made.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu rehearses at a tiny shape")
    made.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), metavar="SIZE", help="[all]")
    made.add_argument("--rows", nargs="+", type=positive, metavar="N", help=f"{list(GRID.rows)}")
    made.add_argument("--tokens", nargs="+", type=positive, metavar="N", help=f"{list(GRID.tokens)}")
    made.add_argument("--contexts", nargs="+", type=positive, metavar="N", help=f"{list(GRID.contexts)}")
    made.add_argument("--skip-parity", action="store_true", help="measure passes alone")
    made.add_argument("--skip-product", action="store_true", help="leave out the product's loop at the released shapes")
    made.add_argument("--skip-attention", action="store_true", help="leave out attention alone")
    made.add_argument("--minutes", type=float, metavar="M", help="stop after so long; the next run goes on")
    made.add_argument("--fresh", action="store_true", help="measure again what the results have")
    made.add_argument("--out", type=Path, metavar="FILE", help="[perf/results/gpu/<device>.json]")
    return made


def positive(text: str) -> int:
    """Read a count of one or more."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {value}")
    return value


def main(arguments: list[str] | None = None) -> int:
    """Run everything; return the exit status."""
    options = parser().parse_args(arguments)
    opened: list[Record] = []
    budget = Budget(options.minutes)

    def work() -> int:
        device = Device.open(options.device)
        record = Record.open(options.out, device.describe(), fresh=options.fresh)
        opened.append(record)
        fill(options, device, record, budget)
        print(table.text(record.found))
        print(f"gpu-check: wrote {record.path} and {record.path.with_suffix('.md')}")
        found = faults(record.found)
        for fault in found:
            print(f"gpu-check: {fault}", file=sys.stderr)
        return int(bool(found))

    def kept() -> str:
        return f"what is done is in {opened[0].path}, the next run goes on" if opened else "nothing was written"

    return run("gpu-check", work, kept=kept)


def faults(found: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the engines that were asked: a line for each that failed or gave another answer."""
    said = []
    for name, engine in found.get("parity", {}).items():
        if "failed" in engine:
            said.append(f"parity, {name}: failed: {engine['failed']}")
        elif differing := engine.get("differing"):
            said.append(f"parity, {name}: {len(differing)} answers differ, first: {differing[0]}")
    if "failed" in (found_calls := found.get("calls", {})):
        said.append(f"random calls: {found_calls['failed']}")
    states = found.get("driver", {})
    said += [f"driver, {name}: {state}" for name, state in states.items() if name != "skipped" and state != "ok"]
    wrong = (row for row in found.get("expected", []) if row["fault"])
    said += [f"expected rows, {row['runtime']} in {row['precision']}: {row['found']}" for row in wrong]
    return said + [table.attention_fault(row) for row in found.get("attention", []) if "failed" in row]


def fill(options: argparse.Namespace, device: Device, record: Record, budget: Budget) -> None:
    """Fill the record, part by part, in the time that there is."""
    budget.stopped = record.found.setdefault("stopped", {})
    if "ceilings" not in record.found and budget.has_time():
        record.found["ceilings"] = device.ceilings()
        record.save()
    budget.run(plan(options, device, record), lambda: write(record))


def plan(options: argparse.Namespace, device: Device, record: Record) -> list[tuple[str, float, Work]]:
    """Return the parts that are asked for, in the order of worth, each with its weight and what it does."""
    plain = GRID if device.is_gpu else TINY_GRID
    grid = Grid(options.rows or plain.rows, options.tokens or plain.tokens, options.contexts or plain.contexts)
    tiny = {"tiny": {**CONFIGS["3b"], **TINY}}
    sizes = {size: CONFIGS[size] for size in options.sizes} if device.is_gpu else tiny
    early = [
        ("parity", 3.0, lambda part: check_engines(device, record, part)),
        ("expected rows", 1.0, lambda part: compare_rows(device, record, expected.RUNTIMES[:-1], part)),
        ("random calls", 1.0, lambda part: compare_calls(device, record, part)),
        ("driver", 0.5, lambda part: compare_driver(device, record, part)),
    ]
    loops: list[tuple[str, float, Work]] = [
        (f"product, {size}", 2.0 if at == 0 else 0.7, partial(measure_product, size, config, device, record))
        for at, (size, config) in enumerate(sizes.items())
    ]
    loops = [] if options.skip_product else loops
    alone: list[tuple[str, float, Work]] = [("attention", 2.0, lambda part: measure_attention(device, record, part))]
    passes: list[tuple[str, float, Work]] = [
        (f"passes, {size}", 0.5, partial(measure_size, size, config, grid, device, record))
        for size, config in sizes.items()
    ]
    last = ("TensorRT-RTX", 0.5, lambda part: compare_rows(device, record, expected.RUNTIMES[-1:], part))
    return [
        *([] if options.skip_parity else early),
        *loops[:1],
        *([] if options.skip_attention else alone),  # worth more than the product at further sizes
        *loops[1:],
        *passes,
        *([] if options.skip_parity else [last]),  # last: on another GPU it may end the process
    ]


def check_engines(device: Device, record: Record, part: Part) -> None:
    """Ask every engine that is here and was not asked yet; note why the others are not."""
    known, every = record.found.setdefault("parity", {}), [one for _, asked in parity.questions() for one in asked]
    for name, make in ENGINES.items():
        if "rows" in known.get(name, {}):
            continue
        part.check()
        try:
            engine = make(device.kind)
            total = len(every) if engine.quadratic else sum(not one.quadratic for one in every)
            with progress(total, f"gpu-check: parity, {name}") as bar:
                known[name] = parity.check(engine, part.before(bar.step))
        except Unavailable as exc:
            known[name] = {"skipped": str(exc)}
            print(f"gpu-check: parity, {name}: skipped: {exc}", file=sys.stderr)
        except Exception as exc:  # whatever an engine's library raises must not cost the others' results
            known[name] = {"failed": f"{type(exc).__name__}: {exc}"}
        write(record)


def compare_rows(device: Device, record: Record, runtimes: Sequence[str], part: Part) -> None:
    """Compare what the record does not have of the rows that bundles expect, in the precisions that serve."""
    rows = record.found.setdefault("expected", [])
    done = [(row["runtime"], row["precision"]) for row in rows]
    left = [place for place in expected.places() if place[0] in runtimes and place not in done]
    with progress(len(left), f"gpu-check: expected rows, {', '.join(runtimes)}") as bar:
        for number, row in enumerate(expected.compared(device.kind, done, runtimes), 1):
            rows.append(row)
            write(record)
            bar.step()
            if number < len(left):
                part.check()


def compare_calls(device: Device, record: Record, part: Part) -> None:
    """Make the random calls, unless the record has all of them."""
    if record.found.get("calls", {}).get("calls", 0) < calls.CALLS:
        record.found["calls"] = found = calls.compare(device.kind, over=part.over)
        if found.get("calls", calls.CALLS) < calls.CALLS:
            part.check()


def compare_driver(device: Device, record: Record, part: Part) -> None:
    """Check what the TensorRT engine asks of CUDA, unless the record has it."""
    if record.found.get("driver", {"skipped": ""}).keys() == {"skipped"}:
        record.found["driver"] = driver.compare(device.kind, part.check)


def measure_product(size: str, config: dict[str, Any], device: Device, record: Record, part: Part) -> None:
    """Run the product's loop at one size, in what the record does not have; note why where it cannot run here."""
    rows = record.found.setdefault("product", [])
    try:
        from . import product
    except (ImportError, OSError) as exc:
        record.found["product_skipped"] = f"{exc}; it needs {WHEELS}"
        print(f"gpu-check: product: skipped: {record.found['product_skipped']}", file=sys.stderr)
        return
    record.found.pop("product_skipped", None)
    work = product.Work() if device.is_gpu else product.TINY_WORK
    done = [(row["mode"], row["rows"]) for row in rows if row["size"] == size]
    count = len(work.rows) * len(product.MODES) - len(done)
    with (
        progress(count, f"gpu-check: product, {size}") as bar,
        closing(product.measure(size, config, device, work, done)) as measured,
    ):
        for number, row in enumerate(measured, 1):
            rows.append(row)
            write(record)
            bar.step()
            if number < count:
                part.check()


def measure_attention(device: Device, record: Record, part: Part) -> None:
    """Time attention alone in what the record does not have, on a GPU for two minutes at most."""
    work, done = AttentionWork() if device.is_gpu else TINY_WORK, record.attended()
    if (count := len(VARIANTS) * len(work.shapes()) - len(done)) <= 0:
        return
    gc.collect()
    device.free_bytes()  # gives back what torch keeps, as the measurement has processes of its own
    with progress(count, "gpu-check: attention alone") as bar:
        left = min(ATTENTION_SECONDS[device.kind], part.left())
        for row in apart.measured(device.kind, work, done, left):
            record.add_attention(row)
            bar.step()
    if any(row.get("skipped") == apart.LATE for row in record.found["attention"]):
        raise StoppedError


def measure_size(size: str, config: dict[str, Any], grid: Grid, device: Device, record: Record, part: Part) -> None:
    """Measure the shapes of one size that the record does not have."""
    done = record.done()
    shapes = [s for s in grid.shapes(size) if (s.size, s.rows, s.tokens, s.context) not in done]
    if not shapes:
        return
    seconds = {} if device.is_gpu else {"seconds": TINY_SECONDS}
    with (
        progress(len(shapes), f"gpu-check: passes, {size}, {len(shapes)} shapes") as bar,
        closing(measure(size, config, device, shapes, **seconds)) as measured,
    ):
        for number, row in enumerate(measured, 1):
            record.add(row)
            bar.step()
            if number < len(shapes):
                part.check()


def write(record: Record) -> None:
    """Write the JSON with what follows from it, and the table."""
    record.found["implied"] = table.implied(record.found.get("passes", []))
    record.found["implied_note"] = table.NOTE
    record.save()
    record.path.with_suffix(".md").write_text(table.text(record.found), encoding="utf-8")

"""`make gpu-check`: exact ids through every engine that is here, the product's loop, attention alone, passes.

Writes perf/results/gpu/<device>.json after every row, the table beside it after every part, and goes on where it was
interrupted. Exit codes: 0 done, 1 no GPU, an engine that failed or gave other ids, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common.progress import progress, run
from ..common.published import CONFIGS, TINY
from . import calls, driver, expected, parity, table
from .attention import apart
from .attention.measure import TINY_WORK, Work
from .attention.variants import VARIANTS
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

    def work() -> int:
        device = Device.open(options.device)
        record = Record.open(options.out, device.describe(), fresh=options.fresh)
        opened.append(record)
        fill(options, device, record)
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


def fill(options: argparse.Namespace, device: Device, record: Record) -> None:
    """Fill the record."""
    deadline = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    if not options.skip_parity:
        check_engines(device, record)
        compare_rows(device, record, expected.RUNTIMES[:-1])
        if "largest" not in record.found.get("calls", {}):
            record.found["calls"] = calls.compare(device.kind)
            record.found["driver"] = driver.compare(device.kind)
            write(record)
    if "ceilings" not in record.found:
        record.found["ceilings"] = device.ceilings()
        record.save()
    plain = GRID if device.is_gpu else TINY_GRID
    grid = Grid(options.rows or plain.rows, options.tokens or plain.tokens, options.contexts or plain.contexts)
    tiny = {"tiny": {**CONFIGS["3b"], **TINY}}
    sizes = {size: CONFIGS[size] for size in options.sizes} if device.is_gpu else tiny
    (size, config), *others = sizes.items()
    if not options.skip_product:
        measure_product(size, config, device, record, deadline)
    if not options.skip_attention:  # worth more than the product at further sizes
        measure_attention(device, record, deadline)
    for size, config in () if options.skip_product else others:
        measure_product(size, config, device, record, deadline)
    for size, config in sizes.items():
        measure_size(size, config, grid, device, record, deadline)
    if not options.skip_parity and (deadline is None or time.monotonic() < deadline):
        compare_rows(device, record, expected.RUNTIMES[-1:])  # last: on another GPU it may end the process


def check_engines(device: Device, record: Record) -> None:
    """Ask every engine that is here and was not asked yet; note why the others are not."""
    known, total = record.found.setdefault("parity", {}), sum(len(asked) for _, asked in parity.questions())
    for name, make in ENGINES.items():
        if "rows" in known.get(name, {}):
            continue
        try:
            engine = make(device.kind)
            with progress(total, f"gpu-check: parity, {name}") as bar:
                known[name] = parity.check(engine, bar.step)
        except Unavailable as exc:
            known[name] = {"skipped": str(exc)}
            print(f"gpu-check: parity, {name}: skipped: {exc}", file=sys.stderr)
        except Exception as exc:  # whatever an engine's library raises must not cost the others' results
            known[name] = {"failed": f"{type(exc).__name__}: {exc}"}
        write(record)


def compare_rows(device: Device, record: Record, runtimes: Sequence[str]) -> None:
    """Compare what the record does not have of the rows that bundles expect, in the precisions that serve."""
    rows = record.found.setdefault("expected", [])
    done = [(row["runtime"], row["precision"]) for row in rows]
    left = [place for place in expected.places() if place[0] in runtimes and place not in done]
    with progress(len(left), f"gpu-check: expected rows, {', '.join(runtimes)}") as bar:
        for row in expected.compared(device.kind, done, runtimes):
            rows.append(row)
            write(record)
            bar.step()


def measure_product(size: str, config: dict[str, Any], device: Device, record: Record, deadline: float | None) -> None:
    """Run the product's loop at one size, in what the record does not have; note why where it cannot run here."""
    rows = record.found.setdefault("product", [])
    if deadline is not None and time.monotonic() > deadline:
        return
    try:
        from . import product
    except (ImportError, OSError) as exc:
        record.found["product_skipped"] = f"{exc}; it needs {WHEELS}"
        print(f"gpu-check: product: skipped: {record.found['product_skipped']}", file=sys.stderr)
        return
    record.found.pop("product_skipped", None)
    work = product.Work() if device.is_gpu else product.TINY_WORK
    done = [(row["mode"], row["rows"]) for row in rows if row["size"] == size]
    with progress(len(work.rows) * len(product.MODES) - len(done), f"gpu-check: product, {size}") as bar:
        for row in product.measure(size, config, device, work, done):
            rows.append(row)
            write(record)
            bar.step()
            if deadline is not None and time.monotonic() > deadline:
                break


def measure_attention(device: Device, record: Record, deadline: float | None) -> None:
    """Time attention alone in what the record does not have, on a GPU for two minutes at most."""
    work, done, left = Work() if device.is_gpu else TINY_WORK, record.attended(), ATTENTION_SECONDS[device.kind]
    if (count := len(VARIANTS) * len(work.shapes()) - len(done)) <= 0:
        return
    if deadline is not None and (left := min(left, deadline - time.monotonic())) <= 0:
        print("gpu-check: attention alone: skipped: the time was over; the next run goes on", file=sys.stderr)
        return
    gc.collect()
    device.free_bytes()  # gives back what torch keeps, as the measurement has processes of its own
    with progress(count, "gpu-check: attention alone") as bar:
        for row in apart.measured(device.kind, work, done, left):
            record.add_attention(row)
            bar.step()
    write(record)


def measure_size(
    size: str, config: dict[str, Any], grid: Grid, device: Device, record: Record, deadline: float | None
) -> None:
    """Measure the shapes of one size that the record does not have."""
    done = record.done()
    shapes = [s for s in grid.shapes(size) if (s.size, s.rows, s.tokens, s.context) not in done]
    if not shapes or (deadline is not None and time.monotonic() > deadline):
        return
    seconds = {} if device.is_gpu else {"seconds": TINY_SECONDS}
    with progress(len(shapes), f"gpu-check: passes, {size}, {len(shapes)} shapes") as bar:
        for row in measure(size, config, device, shapes, **seconds):
            record.add(row)
            bar.step()
            if deadline is not None and time.monotonic() > deadline:
                break
    write(record)


def write(record: Record) -> None:
    """Write the JSON with what follows from it, and the table."""
    record.found["implied"] = table.implied(record.found.get("passes", []))
    record.found["implied_note"] = table.NOTE
    record.save()
    record.path.with_suffix(".md").write_text(table.text(record.found), encoding="utf-8")

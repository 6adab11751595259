"""`make perf`: measures one bundle part by part; writes perf/results/*.json, perf/RESULTS.md, plots, README's block.

A part's results are written as soon as it is done: an interruption loses only the part that runs. The prefix cache is
off throughout, so that a prompt asked again is read again; what it gives is measured by itself.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.errors import BundleError, TrimodeError
from trimode_client import TrimodeClientError

from ..common import MODEL_YAML, PERF, PROJECT, claims
from ..common.progress import progress, run
from ..common.results import about, describe, rounded, save
from . import MODES, Context, Data, Options, Part, options, report
from .domains import headline

ERRORS = (TrimodeError, TrimodeClientError)
MEASURED = [part for part in report.PARTS if part.measure]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    listed = "\n".join(f"  {part.name:14}{part.seconds_hint:5.0f} s  {part.title}" for part in MEASURED)
    fixed = ", ".join(part.name for part in MEASURED if part.fixed)
    made = argparse.ArgumentParser(
        prog="python -m trimode_perf speed",
        description="Measure every mode through engine, control loop and Triton.",
        epilog=f"parts, and how long each takes, about; --seconds is not for {fixed}:\n{listed}",
        parents=[options()],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--part", choices=[part.name for part in MEASURED], help="this one only")
    made.add_argument("--out", type=Path, default=PERF, metavar="DIR", help="where results/ and RESULTS.md go [perf]")
    made.add_argument("--model", default="nano", help="what `make serve` calls it [%(default)s]")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run every part, or one; return the exit status."""
    read = parser()
    given = vars(read.parse_args(arguments))
    only, limit, out = given.pop("part"), given.pop("seconds"), given.pop("out")
    parts = [part for part in MEASURED if only in (None, part.name)]
    if limit is not None and all(part.fixed for part in parts):
        read.error(f"--seconds: {only} takes a fixed number of rounds, about {parts[0].seconds_hint:.0f} s")
    command = f"make perf PART={only}" if only else "make perf"
    done: list[str] = []
    return run(
        "perf",
        lambda: measure(parts, Options(**given), out, command, limit, done),
        *ERRORS,
        kept=lambda: f"the results of {', '.join(done)} were written" if done else "nothing was written",
    )


def measure(
    parts: Sequence[Part], asked: Options, out: Path, command: str, limit: float | None, done: list[str]
) -> int:
    """Run `parts`, and note in `done` whose results are written; whatever stops one, report those before it.

    Raises:
        BundleError: the bundle's checkpoint lacks modes: the parts compare all of them.
    """
    manifest = Manifest.load(asked.bundle)
    if missing := [mode for mode in MODES if mode not in manifest.modes]:
        raise BundleError(f"{asked.bundle}: modes: the parts of perf need {', '.join(missing)}, which it does not have")
    os.environ["TRIMODE_PREFIX_CACHE_MIB"] = "0"  # of the servers that are started here too
    config, results = ServerConfig.load(MODEL_YAML), out / "results"
    results.mkdir(parents=True, exist_ok=True)  # for what is no JSON
    head = about(command, describe(manifest, config))
    try:
        for number, part in enumerate(parts, 1):
            context = Context(asked, config, part.seconds_hint if limit is None else limit, results=results)
            began = time.monotonic()
            for name, data in measure_part(part, context, f"{number}/{len(parts)} {part.title}").items():
                save(results / f"{name}.json", rounded({**head, **data}), sort_keys=True)
                done.append(name)
            print(f"perf: {part.name} took {time.monotonic() - began:.0f} s", flush=True)
    except BaseException:
        try:
            show(out, done)
        except Exception as exc:  # what stopped the part is what the caller must see
            print(f"perf: the report could not be written: {exc!r}", file=sys.stderr)
        raise
    show(out, done)
    return 0


def measure_part(part: Part, context: Context, text: str) -> dict[str, Data]:
    """Return what one part finds, by name, under a bar of its own."""
    assert part.measure is not None
    with progress(text=f"{text}, {part.seconds_hint if part.fixed else context.seconds:.0f} s") as bar:
        context.progress = bar.at
        try:
            return part.measure(context)
        finally:
            context.close()


def show(out: Path, done: list[str]) -> None:
    """Write the report and print its table and claims; the README's block too, if it is perf's own report."""
    if not done:
        return
    written = report.write(out, PROJECT if out == PERF else None)
    if written is None:
        print(f"perf: no RESULTS.md yet: its head needs the results {', '.join(report.HEAD)}")
        return
    found = report.read(out / "results")
    print(headline(found), claims.text(report.claims(found)), f"perf: wrote {written}", sep="\n")

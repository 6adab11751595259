"""`make perf`: measures one bundle part by part; writes perf/results/*.json, perf/RESULTS.md, plots, README's block.

A part's results are written as soon as it is done: an interruption loses only the part that runs. The prefix cache is
off throughout, so that a prompt asked again is read again; what it gives is measured by itself.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.errors import BundleError, TrimodeError
from trimode_client import TrimodeClientError

from ..common import MODEL_YAML, PERF
from ..common.progress import progress, run
from ..common.results import about, describe, rounded, save
from . import Book, Context, Data, Options, Part, options, report
from .causal import report as causal

ERRORS = (TrimodeError, TrimodeClientError)
MEASURED = [part for part in report.PARTS if part.measure]
CAUSAL = [part for part in causal.PARTS if part.measure]
NAMES = list(dict.fromkeys(part.name for part in (*MEASURED, *CAUSAL)))


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    groups = (
        [part for part in MEASURED if not part.apart],
        [part for part in MEASURED if part.apart],
        [part for part in CAUSAL if not part.apart],
    )
    listed, apart, others = (
        "\n".join(f"  {part.name:16}{part.seconds_hint:5.0f} s  {part.title}" for part in parts) for parts in groups
    )
    fixed = ", ".join(sorted({part.name for part in (*MEASURED, *CAUSAL) if part.fixed}))
    made = argparse.ArgumentParser(
        prog="python -m trimode_perf speed",
        description="Measure every mode through engine, control loop and Triton.",
        epilog=f"parts, and how long each takes, about; --seconds is not for {fixed}:\n{listed}\n"
        f"by their names alone:\n{apart}\n"
        f"of a checkpoint that was not trained to denoise:\n{others}",
        parents=[options()],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--part", choices=NAMES, help="this one only")
    made.add_argument("--out", type=Path, default=PERF, metavar="DIR", help="where results/ and RESULTS.md go [perf]")
    made.add_argument("--model", default="nano", help="what `make serve` calls it [%(default)s]")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run every part, or one; return the exit status."""
    read = parser()
    given = vars(read.parse_args(arguments))
    only, limit, out = given.pop("part"), given.pop("seconds"), given.pop("out")
    named = [part for part in (*MEASURED, *CAUSAL) if only == part.name]
    if limit is not None and named and all(part.fixed for part in named):
        read.error(f"--seconds: {only} takes a fixed number of rounds, about {named[0].seconds_hint:.0f} s")
    done: list[str] = []
    return run(
        "perf",
        lambda: choose(only, Options(**given), out, limit, done),
        *ERRORS,
        kept=lambda: f"the results of {', '.join(done)} were written" if done else "nothing was written",
    )


def choose(only: str | None, asked: Options, out: Path, limit: float | None, done: list[str]) -> int:
    """Run the parts of the report that the bundle's checkpoint has, or one of them.

    Raises:
        BundleError: `only` is a part of the other report.
    """
    manifest = Manifest.load(asked.bundle)
    model = manifest.model
    if manifest.denoises:
        book, parts, others = report.BOOK, MEASURED, CAUSAL
    else:
        book, parts, others = causal.book(model), CAUSAL, MEASURED
    own = {part.name for part in parts}
    if only is not None and only not in own:
        why = f"is for checkpoints that were{' not' if manifest.denoises else ''} trained to denoise"
        raise BundleError(f"{asked.bundle}: part {only} {why}; {model} has {', '.join(part.name for part in parts)}")
    if not manifest.denoises and only is None:
        left = ", ".join(part.name for part in others if part.name not in own)
        print(f"perf: left out, because {model} was not trained to denoise: {left}", flush=True)
    target = "make perf" + ("" if asked.model == Options.model else f" MODEL={asked.model}")
    command = f"{target} PART={only}" if only else target
    chosen = [part for part in parts if (not part.apart if only is None else part.name == only)]
    return measure(book, chosen, asked, out, command, limit, done)


@contextmanager
def without_prefix_cache() -> Iterator[None]:
    """Keep the prefix cache off in what is opened meanwhile, servers that are started too."""
    name = "TRIMODE_PREFIX_CACHE_MIB"
    before = os.environ.get(name)
    os.environ[name] = "0"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


@without_prefix_cache()
def measure(
    book: Book, parts: Sequence[Part], asked: Options, out: Path, command: str, limit: float | None, done: list[str]
) -> int:
    """Run `parts`, and note in `done` whose results are written; whatever stops one, report those before it."""
    config, results = ServerConfig.load(MODEL_YAML), out / "results"
    results.mkdir(parents=True, exist_ok=True)  # for what is no JSON
    head = about(command, describe(Manifest.load(asked.bundle), config))
    try:
        for number, part in enumerate(parts, 1):
            context = Context(asked, config, part.seconds_hint if limit is None else limit, results=results)
            began = time.monotonic()
            for name, data in measure_part(part, context, f"{number}/{len(parts)} {part.title}").items():
                save(results / f"{book.prefix}{name}.json", rounded({**head, **data}), sort_keys=True)
                done.append(name)
            print(f"perf: {part.name} took {time.monotonic() - began:.0f} s", flush=True)
    except BaseException:
        try:
            show(book, out, done)
        except Exception as exc:  # what stopped the part is what the caller must see
            print(f"perf: the report could not be written: {exc!r}", file=sys.stderr)
        raise
    show(book, out, done)
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


def show(book: Book, out: Path, done: list[str]) -> None:
    """Write the report and print what it shows."""
    if not done:
        return
    written = book.write(out)
    if written is None:
        print(f"perf: no report yet: its head needs the results {', '.join(book.head)}")
        return
    print(book.shown(out / "results"), f"perf: wrote {written}", sep="\n")

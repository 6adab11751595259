"""`make perf`: measures one bundle part by part; writes perf/results/*.json, perf/RESULTS.md, plots, README's block.

A part's results are written as soon as it is done: an interruption loses only the part that runs. The prefix cache is
off throughout, so that a prompt asked again is read again; what it gives is measured by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.errors import TrimodeError
from trimode_client import TrimodeClientError

from ..common import claims
from ..common.hardware import describe
from ..common.paths import MODEL_YAML, NANO, PERF, PROJECT
from ..common.progress import progress, run
from ..common.statistics import rounded
from ..peers.process import PeerError
from . import Context, Data, Options, Part, report
from .domains import headline

ERRORS = (TrimodeError, TrimodeClientError, PeerError, RuntimeError)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    measured = [part for part in report.PARTS if part.measure]
    listed = "\n".join(f"  {part.name:14}{part.seconds_hint:5.0f} s  {part.title}" for part in measured)
    made = argparse.ArgumentParser(
        description="Measure every mode through engine, control loop and Triton.",
        epilog=f"parts, and how long each takes, about:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--bundle", type=Path, required=True, metavar="DIR")
    made.add_argument("--part", choices=[part.name for part in measured], help="this one only")
    made.add_argument(
        "--seconds", type=float, metavar="S", help="a part may take; startup, passes and timeline have fixed rounds"
    )
    made.add_argument("--out", type=Path, default=PERF, metavar="DIR", help="where results/ and RESULTS.md go [perf]")
    made.add_argument("--int8-bundle", type=Path, metavar="DIR", help="the same checkpoint's, to compare with")
    made.add_argument("--model", default="nano", help="what `make serve` calls it [%(default)s]")
    made.add_argument("--checkpoint", type=Path, default=NANO, metavar="DIR", help="what the peers load [nano]")
    made.add_argument("--heldout", type=Path, default=NANO / "heldout.jsonl", metavar="JSONL")
    made.add_argument("--per-domain", type=int, default=4, metavar="N", help="prompts of a domain [%(default)s]")
    made.add_argument("--prompts", type=int, default=12, metavar="N", help="of those, timed ones [%(default)s]")
    made.add_argument("--max-tokens", type=int, default=128, metavar="N", help="per answer [%(default)s]")
    made.add_argument("--peers-python", type=Path, metavar="FILE", help="an interpreter with the peers' libraries")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run every part, or one; return the exit status."""
    given = vars(parser().parse_args(arguments))
    only, seconds, out = given.pop("part"), given.pop("seconds"), given.pop("out")
    parts = [part for part in report.PARTS if part.measure and only in (None, part.name)]
    command = f"make perf PART={only}" if only else "make perf"
    return run("perf", lambda: measure(parts, Options(**given), out, command, seconds), *ERRORS)


def measure(parts: Sequence[Part], options: Options, out: Path, command: str, seconds: float | None = None) -> int:
    """Run `parts`; whatever stops one, write the report of those that are done. Return 130 if interrupted."""
    os.environ["TRIMODE_PREFIX_CACHE_MIB"] = "0"  # of the servers that are started here too
    config, results = ServerConfig.load(MODEL_YAML), out / "results"
    about: Data = {
        "measured_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "hardware": describe(Manifest.load(options.bundle), config),
        "command": command,
    }
    results.mkdir(parents=True, exist_ok=True)
    done: list[str] = []
    try:
        for number, part in enumerate(parts, 1):
            context = Context(options, config, part.seconds_hint if seconds is None else seconds, results=results)
            began = time.monotonic()
            for name, data in measure_part(part, context, f"{number}/{len(parts)} {part.title}").items():
                save(results / f"{name}.json", {**about, **data})
                done.append(name)
            print(f"perf: {part.name} took {time.monotonic() - began:.0f} s", flush=True)
    except KeyboardInterrupt:
        kept = f"the results of {', '.join(done)} were written" if done else "nothing was written"
        print(f"perf: interrupted in {part.name}; {kept}", file=sys.stderr)
        return 130
    finally:
        if done:
            show(out)
    return 0


def measure_part(part: Part, context: Context, text: str) -> dict[str, Data]:
    """Return what one part finds, by name, under a bar of its own."""
    assert part.measure is not None
    with progress(text=f"{text}, {part.seconds_hint:.0f} s") as bar:
        context.progress = lambda share: bar.at(min(share, 1.0))
        try:
            return part.measure(context)
        finally:
            context.close()


def save(path: Path, data: Data) -> None:
    """Write one file of results whole or not at all, figures rounded to what they are worth."""
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(rounded(data), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    fresh.replace(path)


def show(out: Path) -> None:
    """Write the report and print its table and claims; the README's block too, if it is perf's own report."""
    written = report.write(out, PROJECT / "README.md" if out == PERF else None)
    if written is None:
        print(f"perf: no RESULTS.md yet: its head needs the results {', '.join(report.HEAD)}")
        return
    found = report.read(out / "results")
    print(headline(found), claims.text(report.claims(found)), f"perf: wrote {written}", sep="\n")


if __name__ == "__main__":
    sys.exit(main())

"""`make quality`: counts what a checkpoint gets right and at what cost; writes quality.json, its card and plots.

Reads the held-out prompts of the checkpoint and asks them of its bundles, in process. Writes only when all is done.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from trimode.errors import TrimodeError

from ..common.paths import NANO, PROJECT
from . import card
from .claims import conclude, lines
from .measure import Plan, count, measure

RESULTS = "quality.json"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf.quality", description=__doc__)
    made.add_argument("--checkpoint", type=Path, default=NANO, metavar="DIR", help="[checkpoints/nano]")
    made.add_argument("--bundle", type=Path, default=PROJECT / "build/out/nano-float32", metavar="DIR")
    made.add_argument("--int8-bundle", type=Path, metavar="DIR", help="the same checkpoint's, to compare with")
    made.add_argument("--out", type=Path, metavar="DIR", help="where card, JSON and plots go [the checkpoint]")
    made.add_argument("--per-domain", type=int, default=1000, metavar="N", help="prompts of a domain [all]")
    made.add_argument("--sweep-per-domain", type=int, default=8, metavar="N", help="of those, swept [%(default)s]")
    made.add_argument("--human-eval", type=int, default=164, metavar="N", help="problems of HumanEval [%(default)s]")
    made.add_argument("--card-only", action="store_true", help="conclude and write card and plots again, from the JSON")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run everything; return 0, 1 where a claim does not hold or something failed, or 130 when interrupted."""
    options = parser().parse_args(arguments)
    out: Path = options.out or options.checkpoint
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    try:
        if options.card_only:
            results = json.loads((out / RESULTS).read_text(encoding="utf-8"))
            conclude(results)
        else:
            plan = Plan.load(
                *(options.checkpoint, options.bundle, options.int8_bundle),
                *(options.per_domain, options.sweep_per_domain, options.human_eval),
            )
            parts = plan.parts()
            print("quality: " + ", ".join(f"{name} {number}" for name, number in parts) + " answers or texts")
            with progress(count(parts)) as advance:
                results = measure(plan, advance)
        out.mkdir(parents=True, exist_ok=True)
        (out / RESULTS).write_text(card.spelled(results) + "\n", encoding="utf-8")
        card.write(options.checkpoint, results, out)
    except KeyboardInterrupt:
        print("quality: interrupted; nothing was written", file=sys.stderr)
        return 130
    except (TrimodeError, OSError, ImportError, ValueError) as exc:
        print(f"quality: {exc}", file=sys.stderr)
        return 1
    print("\n".join(lines(results)))
    print(f"quality: wrote {out / RESULTS}, the card and its plots in {time.monotonic() - began:.0f} s")
    return 0 if all(claim["holds"] for claim in results["claims"]) else 1


@contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """Show one bar over `total` answers; the function given counts one and says what it was."""
    columns = (TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=total)
        yield lambda text: bar.update(task, advance=1, description=text)


if __name__ == "__main__":
    sys.exit(main())

"""The command line: CHECKPOINT in, bundle out, a progress bar, checks on request, a summary of what was done.

Exit codes: 0 built or up to date, 1 one line of why not on stderr, 2 wrong usage, 130 interrupted.
Knows no detail of any step.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from trimode.errors import TrimodeError

from .bundling import Plan, Recipe, is_up_to_date, make_plan, write_bundle
from .checkpoint import Checkpoint
from .folder import check_place, megabytes
from .linear import PRECISIONS
from .verify import Outcome, against_kit, against_reference


def parser() -> argparse.ArgumentParser:
    """Return the parser; its help is the documentation of the options."""
    made = argparse.ArgumentParser(
        prog="python -m trimode_convert",
        description="Turn a Nemotron-Labs-Diffusion checkpoint (Hugging Face layout) into an engine bundle.",
    )
    made.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="folder with config.json and *.safetensors")
    made.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder to write")
    made.add_argument("--precision", choices=sorted(PRECISIONS), default="float32", help="of weights and products")
    made.add_argument("--capacity", type=int, metavar="N", help="most tokens of a sequence (default: at most 4096)")
    made.add_argument("--name", help="the model's name (default: the checkpoint folder's)")
    made.add_argument("--force", action="store_true", help="build even if the bundle is up to date")
    made.add_argument("--verify", action="store_true", help="compare the bundle with a plain numpy forward")
    made.add_argument("--parity-logits", type=Path, metavar="FILE", help="compare the bundle with a kit's logits .npz")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = parser().parse_args(arguments)
    out = Console(highlight=False, soft_wrap=True)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a kill cleans up as Ctrl-C does
    try:
        return _convert(options, out, errors)
    except TrimodeError as exc:
        errors.print(f"error: {exc}", markup=False)
        return 1
    except OSError as exc:  # a disk that fails where no step of ours expected it
        errors.print(f"error: {exc}", markup=False)
        return 1
    except KeyboardInterrupt:
        errors.print("interrupted: no half bundle was left behind")
        return 130
    finally:
        signal.signal(signal.SIGTERM, previous)


def _convert(options: argparse.Namespace, out: Console, errors: Console) -> int:
    started = time.monotonic()
    target = Path(options.out).resolve()  # a link's target is replaced, not the link
    recipe = Recipe(options.precision, options.capacity, options.name)
    check_place(target)
    with Checkpoint.open(options.checkpoint) as checkpoint:
        with _progress(errors, "reading", checkpoint.size()) as advance:
            plan = make_plan(checkpoint, recipe, advance)
        state = "up to date"
        if options.force or not is_up_to_date(plan, target):
            state = "built"
            with _progress(errors, "writing", plan.blueprint.weights.total_bytes) as advance:
                write_bundle(plan, target, advance)
        seconds = time.monotonic() - started
        outcomes: list[Outcome] = []
        if options.verify:
            outcomes += against_reference(target, checkpoint)
        if options.parity_logits is not None:
            outcomes += against_kit(target, options.parity_logits)
    out.print(_summary(target, plan, checkpoint.parameters, state, seconds, outcomes))
    if failed := [outcome for outcome in outcomes if not outcome.passed]:
        shutil.rmtree(target)  # else the next build would call it up to date
        text = f"error: {len(failed)} of {len(outcomes)} checks failed and the bundle was removed, first: {failed[0]}"
        errors.print(text, markup=False)
        return 1
    return 0


def _summary(
    target: Path, plan: Plan, parameters: int, state: str, seconds: float, outcomes: Sequence[Outcome]
) -> Table:
    manifest = plan.manifest
    table = Table(title=f"{target}: {state}", show_header=False, title_justify="left")
    table.add_row("model", f"{manifest.model}, {manifest.precision}, capacity {manifest.capacity}")
    table.add_row("parameters", f"{parameters:,}{' with draft adapter' * manifest.adapter}")
    table.add_row("bundle", megabytes(plan.total_bytes))
    table.add_row("time", f"{seconds:.1f} s")
    table.add_row("peak memory", megabytes(peak_memory()))
    for outcome in outcomes:
        table.add_row(outcome.name, outcome.text)
    return table


def peak_memory() -> int:
    """Return this process's largest resident size in bytes.

    From /proc where there is one: getrusage also counts what the parent held before it started this process.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextmanager
def _progress(console: Console, title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, nothing elsewhere; yield what advances it."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)

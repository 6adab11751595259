"""`trimode compare`: one prompt in every mode, with interleaved repetitions, as a table against autoregressive."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from trimode.api.applicability import FIELDS_OF_MODES
from trimode.api.fields import Mode

from ..client import Client
from ..result import Completion
from .knobs import add_knobs, given_knobs, knobs_of
from .prompt import add_prompt, given_prompt
from .screen import as_json, open_console

BASELINE = Mode.AUTOREGRESSIVE


def add_parser(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add this command."""
    about = "A mode is asked without the knobs that it does not have: effort, for example, applies to diffusion only."
    parser = commands.add_parser("compare", parents=[shared], help="one prompt in every mode", description=about)
    add_prompt(parser)
    parser.add_argument("--repeat", type=_positive, default=5, metavar="N", help="timed repetitions [%(default)s]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_knobs(parser, without=("mode",))
    parser.set_defaults(run=run)


@dataclass(frozen=True)
class Row:
    """One mode's answer, what it cost, and how it compares with autoregressive; a `speedup` above 1 is faster."""

    mode: str
    text: str
    tokens: int
    forwards: int
    tokens_per_forward: float
    tokens_per_cycle: float
    median_seconds: float
    speedup: float
    same_text: bool


def run(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    """Ask every mode, then print the answers and the table."""
    prompt, knobs = given_prompt(arguments), given_knobs(arguments)
    there = client.health().modes or tuple(Mode)
    answers: dict[Mode, list[Completion]] = {mode: [] for mode in Mode if mode in there}
    with open_console(stderr=True).status("asking in every mode"):
        for _ in range(1 + arguments.repeat):  # the first round is a warm-up
            for mode in answers:
                answers[mode].append(client.generate(**prompt, **knobs_of(mode, knobs)))
    rows = summarise({mode: given[1:] for mode, given in answers.items()})
    if arguments.json:
        print(as_json([asdict(row) for row in rows], indent=2))
        return 0
    for row in rows:
        console.print(f"{row.mode}:", style="bold")
        console.print(row.text, end="\n\n")
    console.print(table(rows))
    console.print(f"median of {arguments.repeat} interleaved repetitions after one warm-up", style="dim")
    for name in sorted(FIELDS_OF_MODES.keys() & knobs.keys()):
        console.print(f"{name} applies to {' and '.join(FIELDS_OF_MODES[name])} only", style="dim")
    return 0


def summarise(answers: dict[Mode, list[Completion]]) -> list[Row]:
    """Return a row for each mode from its repetitions, all of the same prompt."""
    baseline = answers[BASELINE]
    base_seconds = median(answer.seconds for answer in baseline)
    rows = []
    for mode, repeated in answers.items():
        last, seconds = repeated[-1], median(answer.seconds for answer in repeated)
        rows.append(
            Row(
                mode=mode.value,
                text=last.text,
                tokens=last.num_output_tokens,
                forwards=int(last.counters.get("forwards", 0)),
                tokens_per_forward=last.counters.get("tokens_per_forward", 0.0),
                tokens_per_cycle=last.counters.get("tokens_per_cycle", 0.0),
                median_seconds=seconds,
                speedup=base_seconds / seconds,
                same_text=last.text == baseline[-1].text,
            )
        )
    return rows


def table(rows: list[Row]) -> Table:
    """Return the rows as a table that reads without colour and fits 80 columns."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("mode", no_wrap=True)
    for title in ("tokens", "forwards", "tok/fwd", "tok/cycle", "median ms", "speed", "same text"):
        shown.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(
            row.mode,
            str(row.tokens),
            str(row.forwards),
            f"{row.tokens_per_forward:.2f}",
            f"{row.tokens_per_cycle:.2f}",
            f"{row.median_seconds * 1000:.1f}",
            f"{row.speedup:.2f}x",
            "yes" if row.same_text else "no",
        )
    return shown


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number

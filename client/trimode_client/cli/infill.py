"""`trimode infill`: what stands between two texts, alone, inside the whole, or beside every size that was tried."""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from trimode.api.answer import Candidate

from ..client import Client
from ..result import Completion
from .gaps import add_gaps, given_gaps
from .generate import summary
from .knobs import add_knobs, given_knobs
from .screen import as_json, note

_CANDIDATES = """print a table of the fillings tried, * for the one kept: its size in tokens (with those of the left
side that were chosen anew), its score (mean log-probability), and how it was made: diffusion, with both sides in sight,
or autoregressive, from the left side up to where it meets the right one. Two ways may come to the same size or text"""


def add_parser(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add this command."""
    parser = commands.add_parser("infill", parents=[shared], help="fill the gap between two texts")
    add_gaps(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--whole", action="store_true", help="print the whole text, not what fills it alone")
    shown.add_argument("--candidates", action="store_true", help=_CANDIDATES)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--stats", action="store_true", help="print a line of counters to standard error")
    add_knobs(parser, "infill", without=("return_candidates", "exclude_input_in_output"))
    parser.set_defaults(run=run)


def run(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    """Print what fills the gaps."""
    text, knobs = given_gaps(arguments), given_knobs(arguments)
    if arguments.whole:
        knobs["exclude_input_in_output"] = False
    if arguments.candidates:
        knobs["return_candidates"] = True
    completion = client.infill(**text, **knobs)
    if arguments.json:
        print(as_json(completion.as_dict(), indent=2))
    elif arguments.candidates:
        console.print(table(completion))
    elif arguments.whole:
        sys.stdout.write(completion.text)
    elif len(completion.fills) == 1:
        print(completion.fills[0])
    else:  # a line end may be part of each
        print("\n".join(map(as_json, completion.fills)))
    if arguments.stats:
        note(summary(completion), after=completion.text if arguments.whole and not arguments.json else "")
    return 0


def table(completion: Completion) -> Table:
    """Return the sizes tried for each gap as a table that reads without colour."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("gap", "tokens", "score"):
        shown.add_column(title, justify="right", no_wrap=True)
    shown.add_column("", no_wrap=True)
    shown.add_column("mode", no_wrap=True)
    shown.add_column("text", overflow="fold")
    for gap, (fill, tried) in enumerate(zip(completion.fills, completion.candidates, strict=True), start=1):
        best = max((one for one in tried if one.text == fill), key=_likelihood, default=None)
        for one in sorted(tried, key=lambda candidate: candidate.size):
            score = "" if one.score is None else f"{round(one.score, 3) + 0.0:.3f}"  # + 0.0 makes -0.0 a zero
            shown.add_row(str(gap), str(one.size), score, "*" if one is best else "", one.mode, as_json(one.text))
    return shown


def _likelihood(one: Candidate) -> tuple[float, int]:
    """What the server keeps the highest of."""
    return (-math.inf if one.score is None else one.score, -one.size)

"""`trimode infill`: what stands between two texts, alone, inside the whole, or beside every size that was tried."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from ..client import Client
from ..result import Completion
from .gaps import add_gaps, given_gaps
from .generate import summary
from .knobs import add_knobs, given_knobs
from .notes import note


def add_parser(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add this command."""
    parser = commands.add_parser("infill", parents=[shared], help="fill the gap between two texts")
    add_gaps(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--whole", action="store_true", help="print the whole text, not what fills it alone")
    shown.add_argument("--candidates", action="store_true", help="print a table of the sizes tried, * for those kept")
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
        print(json.dumps(completion.as_dict(), ensure_ascii=False, indent=2))
    elif arguments.candidates:
        console.print(table(completion))
    elif arguments.whole:
        sys.stdout.write(completion.text)
    else:
        print("\n".join(completion.fills))
    if arguments.stats:
        note(summary(completion))
    return 0


def table(completion: Completion) -> Table:
    """Return the sizes tried for each gap as a table that reads without colour."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("gap", "tokens", "score"):
        shown.add_column(title, justify="right", no_wrap=True)
    shown.add_column("", no_wrap=True)
    shown.add_column("text", overflow="fold")
    for gap, (fill, tried) in enumerate(zip(completion.fills, completion.candidates, strict=True), start=1):
        for one in sorted(tried, key=lambda candidate: candidate.size):
            score = "" if one.score is None else f"{one.score:.3f}"
            kept = "*" if one.text == fill else ""
            shown.add_row(str(gap), str(one.size), score, kept, json.dumps(one.text, ensure_ascii=False))
    return shown

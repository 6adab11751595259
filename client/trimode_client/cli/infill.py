"""`trimode infill`: fills the gaps of a text, and prints the fillings, the whole text, or every filling that was tried.

Takes a text with gaps as two files around one gap, or as one file with a marker for each gap. Chooses no filling.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from trimode.api.answer import Candidate
from trimode.api.fields import Operation

from ..client import Client
from ..request import Segment
from ..result import Completion
from .generate import summary
from .knobs import add_knobs, given_knobs
from .screen import STANDARD_INPUT, UsageError, as_json, print_note, read_text

_HOLE = """LEFT is the whole text, with a gap wherever TEXT stands, such as [[fill]]; [[fill:12]] is a gap of 12 tokens.
Several fillings are printed as JSON strings, one a line"""
_CANDIDATES = """print a table of the fillings that were tried, with * for the one that was kept. It shows the size in
tokens, which includes the tokens of the left side that were chosen again; the score, a mean log-probability; and the
mode: diffusion sees both sides, autoregressive goes on from the left side until it meets the right one. Both may find
the same size or text"""


def add_parser(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add this command."""
    parser = commands.add_parser("infill", parents=[shared], help="fill the gap between two texts")
    parser.add_argument("left", help="file with the text before the gap, or - for standard input")
    parser.add_argument("right", nargs="?", help="file with the text after the gap, or - [nothing]")
    parser.add_argument("--hole", metavar="TEXT", help=_HOLE)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--whole", action="store_true", help="print the whole text, not the filling alone")
    shown.add_argument("--candidates", action="store_true", help=_CANDIDATES)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--stats", action="store_true", help="print a line of counters to standard error")
    add_knobs(parser, Operation.INFILL, without=("return_candidates", "exclude_input_in_output"))
    parser.set_defaults(run=run)


def run(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    """Print the fillings."""
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
    else:  # a filling may contain line ends
        print("\n".join(map(as_json, completion.fills)))
    if arguments.stats:
        print_note(summary(completion), after=completion.text if arguments.whole and not arguments.json else "")
    return 0


def given_gaps(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the text with its gaps as keywords of Client.infill.

    Raises:
        UsageError: a file cannot be read, or the arguments exclude each other.
    """
    if arguments.hole is None:
        if arguments.left == arguments.right == STANDARD_INPUT:
            raise UsageError("only one of the two texts can come from standard input")
        left, right = (read_text(name) if name is not None else "" for name in (arguments.left, arguments.right))
        return {"left": left, "right": right}
    if arguments.right is not None:
        raise UsageError("--hole takes one file, which holds the text on both sides")
    match split_at_marker(read_text(arguments.left), arguments.hole):
        case [_]:
            raise UsageError(f"{arguments.left} holds no {arguments.hole}")
        case [str(left), {**size}, str(right)] if not size:
            return {"left": left, "right": right}
        case segments:
            return {"segments": segments}


def split_at_marker(text: str, marker: str) -> list[Segment]:
    """Return the pieces of `text`, with a gap for each `marker` between them.

    A colon and the gap's size in tokens may stand before the brackets that close the marker.

    Raises:
        UsageError: the marker is empty, or a size is no number.
    """
    if not marker:
        raise UsageError("--hole must not be empty")
    closed = re.fullmatch(r"(.+?)([\])}>]+)", marker, re.DOTALL)
    pattern = f"{re.escape(marker)}()"
    if closed:
        named = any(char.isalnum() for char in closed[1])  # after {} any text may stand, as in {:>3}
        size = r"[^\n\])}>]*" if named else "[0-9]+"
        pattern = f"{re.escape(closed[1])}(?::({size}))?{re.escape(closed[2])}"
    pieces = re.split(pattern, text)
    segments: list[Segment] = [pieces[0]]
    for size, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        if closed and size is not None and not re.fullmatch("[0-9]+", size):
            raise UsageError(f"{closed[1]}:{size}{closed[2]} must have a number of tokens as its size")
        segments += [{"infill_tokens": int(size)} if size else {}, piece]
    return segments


def table(completion: Completion) -> Table:
    """Return the fillings that were tried for each gap, as a table that reads without colour."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("gap", "tokens", "score"):
        shown.add_column(title, justify="right", no_wrap=True)
    shown.add_column("", no_wrap=True)
    shown.add_column("mode", no_wrap=True)
    shown.add_column("text", overflow="fold")
    for gap, (fill, candidates) in enumerate(zip(completion.fills, completion.candidates, strict=True), start=1):
        best = max((one for one in candidates if one.text == fill), key=_likelihood, default=None)
        for one in sorted(candidates, key=lambda candidate: candidate.size):
            score = "" if one.score is None else f"{round(one.score, 3) + 0.0:.3f}"  # + 0.0 makes -0.0 a zero
            shown.add_row(str(gap), str(one.size), score, "*" if one is best else "", one.mode, as_json(one.text))
    return shown


def _likelihood(one: Candidate) -> tuple[float, int]:
    """Return the key whose highest value the server keeps."""
    return (-math.inf if one.score is None else one.score, -one.size)

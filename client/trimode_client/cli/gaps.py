"""A text with gaps as the command line gives it: two files around one gap, or one file with a marker for each."""

from __future__ import annotations

import argparse
import re
from typing import Any

from ..request import Segment
from .texts import STANDARD_INPUT, read_text
from .usage import UsageError


def add_gaps(parser: argparse.ArgumentParser) -> None:
    """Add the files and how they are to be taken."""
    parser.add_argument("left", help="file with the text before the gap, or - for standard input")
    parser.add_argument("right", nargs="?", help="file with the text after it, or - [nothing]")
    parser.add_argument(
        "--hole",
        metavar="TEXT",
        help="LEFT is all of the text, a gap wherever TEXT stands, such as [[fill]]; [[fill:12]] is one of 12 tokens; "
        "what fills several gaps is printed as JSON strings, one a line",
    )


def given_gaps(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the text as keywords of Client.infill.

    Raises:
        UsageError: a file cannot be read, or what was given does not go together.
    """
    if arguments.hole is None:
        if arguments.left == arguments.right == STANDARD_INPUT:
            raise UsageError("only one of the two texts can come from standard input")
        left, right = (read_text(name) if name is not None else "" for name in (arguments.left, arguments.right))
        return {"left": left, "right": right}
    if arguments.right is not None:
        raise UsageError("--hole takes one file, which holds the text on both sides")
    match split(read_text(arguments.left), arguments.hole):
        case [_]:
            raise UsageError(f"{arguments.left} holds no {arguments.hole}")
        case [str(left), {**size}, str(right)] if not size:
            return {"left": left, "right": right}
        case segments:
            return {"segments": segments}


def split(text: str, marker: str) -> list[Segment]:
    """Return the pieces of `text` and, wherever `marker` stands between two, a gap.

    Before the brackets that close a marker may stand a colon and the gap's size in tokens.
    """
    if not marker:
        raise UsageError("--hole must not be empty")
    closed = re.fullmatch(r"(.+?)([\])}>]+)", marker, re.DOTALL)
    pattern = f"{re.escape(marker)}()"
    if closed:
        named = any(char.isalnum() for char in closed[1])  # what follows {} may be any text's, as in {:>3}
        size = r"[^\n\])}>]*" if named else "[0-9]+"
        pattern = f"{re.escape(closed[1])}(?::({size}))?{re.escape(closed[2])}"
    pieces = re.split(pattern, text)
    segments: list[Segment] = [pieces[0]]
    for size, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        if closed and size is not None and not re.fullmatch("[0-9]+", size):
            raise UsageError(f"{closed[1]}:{size}{closed[2]} must have a number of tokens as its size")
        segments += [{"infill_tokens": int(size)} if size else {}, piece]
    return segments

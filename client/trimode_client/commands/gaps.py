"""A text with gaps as the command line gives it: two files around one gap, or one file with a marker for each."""

from __future__ import annotations

import argparse
import re
from typing import Any

from ..errors import InvalidRequestError
from ..request import Segment
from .texts import STANDARD_INPUT, read_text


def add_gaps(parser: argparse.ArgumentParser) -> None:
    """Add the files and how they are to be taken."""
    parser.add_argument("left", help="file with the text before the gap, or - for standard input")
    parser.add_argument("right", nargs="?", help="file with the text after it, or - [nothing]")
    parser.add_argument(
        "--hole",
        metavar="TEXT",
        help="LEFT is all of the text, a gap wherever TEXT stands, such as [[fill]]; [[fill:12]] is one of 12 tokens",
    )
    parser.add_argument(
        "--instruction", dest="asked", metavar="TEXT", help="what the text answers, a chat message in front of it"
    )


def given_gaps(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the text as keywords of Client.infill.

    Raises:
        InvalidRequestError: a file cannot be read, or what was given does not go together.
    """
    if arguments.hole is None:
        if arguments.left == arguments.right == STANDARD_INPUT:
            raise InvalidRequestError("bad_prompt", "only one of the two texts can come from standard input")
        left, right = (read_text(name) if name is not None else "" for name in (arguments.left, arguments.right))
        return _around(left, right, arguments.asked)
    if arguments.right is not None:
        raise InvalidRequestError("bad_prompt", "--hole takes one file, which holds the text on both sides")
    match split(read_text(arguments.left), arguments.hole):
        case [_]:
            raise InvalidRequestError("bad_prompt", f"{arguments.left} holds no {arguments.hole}")
        case [str(left), {**size}, str(right)] if not size:
            return _around(left, right, arguments.asked)
        case segments if arguments.asked is None:
            return {"segments": segments}
    raise InvalidRequestError("bad_prompt", "--instruction needs one gap, its size given by --infill-tokens if at all")


def split(text: str, marker: str) -> list[Segment]:
    """Return the pieces of `text` and, wherever `marker` stands between two, a gap.

    Before the brackets that close a marker may stand a colon and the gap's size in tokens.
    """
    if not marker:
        raise InvalidRequestError("bad_prompt", "--hole must not be empty")
    closed = re.fullmatch(r"(.+?)([\])}>]+)", marker, re.DOTALL)
    pattern = f"{re.escape(closed[1])}(?::([0-9]+))?{re.escape(closed[2])}" if closed else f"{re.escape(marker)}()"
    pieces = re.split(pattern, text)
    segments: list[Segment] = [pieces[0]]
    for size, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        segments += [{"infill_tokens": int(size)} if size else {}, piece]
    return segments


def _around(left: str, right: str, instruction: str | None) -> dict[str, Any]:
    if instruction is None:
        return {"left": left, "right": right}
    asked, begun = {"role": "user", "content": instruction}, {"role": "assistant", "content": left}
    return {"messages": [asked, begun], "right": right}

"""Fill a file as an editor would: at each [[fill]] in it, or where the cursor is. Prints the whole text.

    python examples/infill.py examples/texts/marks.json --instruction "$(cat examples/texts/question.txt)"
    python examples/infill.py examples/texts/cursor.json --at 3:10 --instruction "$(cat examples/texts/question.txt)"

The server sees the text on both sides of a gap, and searches how long its filling is. nano fills well only with the
instruction that the text answers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trimode_client import Client, Segment, TrimodeClientError

MARK = "[[fill]]"


def at_marks(text: str) -> list[Segment]:
    """Return the pieces of a text with a gap for each mark between them."""
    segments: list[Segment] = []
    for piece in text.split(MARK):
        segments += [piece, {}]
    return segments[:-1]


def cursor(text: str) -> tuple[int, int]:
    """Return line and column, both counted from 1 as editors show them."""
    line, column = map(int, text.split(":"))
    return line, column


def at_cursor(text: str, line: int, column: int) -> list[Segment]:
    """Return a text with one gap, where the cursor is."""
    offset = sum(map(len, text.splitlines(keepends=True)[: line - 1])) + column - 1
    return [text[:offset], {}, text[offset:]]


def main() -> None:
    """Read the command line, and print the filled text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--at", type=cursor, metavar="LINE:COLUMN", help=f"where the cursor is [at each {MARK}]")
    parser.add_argument("--instruction", help="what the text answers")
    parser.add_argument("--url", help="host:port of gRPC, or a URL [$TRIMODE_URL, else localhost:8001]")
    options = parser.parse_args()
    try:
        text = options.file.read_bytes().decode()  # bytes, so that line ends stay what they are
        segments = at_cursor(text, *options.at) if options.at else at_marks(text)
        with Client(options.url) as client:
            filled = client.infill(segments=segments, instruction=options.instruction, exclude_input_in_output=False)
    except (OSError, TrimodeClientError) as exc:
        sys.exit(f"infill.py: {exc}")
    sys.stdout.write(filled.text)


if __name__ == "__main__":
    main()

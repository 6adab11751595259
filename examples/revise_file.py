"""Revise a file: the model reconsiders the tokens that it finds unlikely. Prints the changes as a unified diff.

    python examples/revise_file.py examples/texts/wrong.json --instruction "$(cat examples/texts/question.txt)"

With --in-place the file is changed too. nano revises well only with the instruction that the text answers.
"""

from __future__ import annotations

import argparse
import sys
from difflib import unified_diff
from pathlib import Path

from trimode_client import Client, TrimodeClientError


def main() -> None:
    """Read the command line, print the diff, and write the file where --in-place says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--in-place", action="store_true", help="write the revised text into the file")
    parser.add_argument("--instruction", help="what the text answers")
    parser.add_argument("--url", help="host:port of gRPC, or a URL [$TRIMODE_URL, else localhost:8001]")
    options = parser.parse_args()
    try:
        before = options.file.read_bytes().decode()  # bytes, so that line ends stay what they are
        with Client(options.url) as client:
            after = client.revise(before, instruction=options.instruction).text
    except (OSError, TrimodeClientError) as exc:
        sys.exit(f"revise_file.py: {exc}")
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    for line in unified_diff(old, new, str(options.file), f"{options.file} (revised)"):
        print(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n", end="")
    if options.in_place and after != before:
        options.file.write_bytes(after.encode())


if __name__ == "__main__":
    main()

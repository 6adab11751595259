"""`trimode revise`: revises a text, and prints it, a diff or its edits, or writes it back into its file."""

from __future__ import annotations

import argparse
import difflib
import io
import json
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from trimode.api.fields import Operation

from ..client import Client
from ..result import Completion
from .generate import summary
from .knobs import add_knobs, given_knobs
from .screen import STANDARD_INPUT, UsageError, as_json, print_note, read_text, write_text

COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def add_parser(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add this command."""
    parser = commands.add_parser("revise", parents=[shared], help="reconsider the unlikely parts of a text")
    parser.add_argument("file", help="file with the text, or - for standard input")
    parser.add_argument(
        "--show", choices=("text", "diff", "edits"), help="what to print [text; with --in-place, nothing]"
    )
    parser.add_argument("--in-place", action="store_true", help="write the revised text into the file")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--stats", action="store_true", help="print a line of counters to standard error")
    add_knobs(parser, Operation.REVISE)
    parser.set_defaults(run=run)


def run(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    """Print the revised text or its changes; with --in-place, write it into the file."""
    name = arguments.file
    if arguments.in_place and name == STANDARD_INPUT:
        raise UsageError("--in-place needs a file, not standard input")
    before = read_text(name)
    completion = client.revise(before, **given_knobs(arguments))
    if arguments.in_place and completion.edits:
        write_text(name, completion.text)
    shown = ""
    if arguments.json:
        print(as_json(completion.as_dict(), indent=2))
    else:
        what = arguments.show or ("" if arguments.in_place else "text")
        show(what, name, before, completion, console)
        shown = completion.text if what == "text" else ""
        if not completion.edits:
            print_note("nothing changed", after=shown)
            shown = ""
    if arguments.stats:
        print_note(summary(completion), after=shown)
    return 0


def show(what: str, name: str, before: str, completion: Completion, console: Console) -> None:
    """Print the text as it is, a unified diff, or a line for each edit."""
    match what:
        case "text":
            sys.stdout.write(completion.text)
        case "diff":
            for line in diff(before, completion.text, name):
                if console.is_terminal:
                    console.print(line, style=COLOURS.get(line[0]), end="")
                else:
                    sys.stdout.write(line)  # unchanged, so that `patch` can take it
        case "edits":
            for edit in completion.edits:
                old, new = (json.dumps(text, ensure_ascii=False) for text in (edit.before, edit.after))
                print(f"{edit.start}:{edit.end} {old} -> {new}")


def diff(before: str, after: str, name: str) -> Iterator[str]:
    """Yield the lines of a unified diff, each with its end."""
    old, new = (io.StringIO(text).readlines() for text in (before, after))  # at line feeds only
    for line in difflib.unified_diff(old, new, name, f"{name} (revised)"):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"

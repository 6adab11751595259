"""`trimode generate`: answers one prompt, at once, as a stream, or as JSON; and the summary line of an answer."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from rich.console import Console

from ..client import Client
from ..result import Completion
from .knobs import add_knobs, given_knobs
from .prompt import add_prompt, given_prompt
from .screen import as_json, print_note


def add_parser(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add this command."""
    parser = commands.add_parser("generate", parents=[shared], help="answer one prompt")
    add_prompt(parser)
    parser.add_argument("--stream", action="store_true", help="print the text as it becomes final")
    parser.add_argument("--json", action="store_true", help="print JSON; with --stream, one object a line")
    parser.add_argument("--stats", action="store_true", help="print a line of counters to standard error")
    add_knobs(parser)
    parser.set_defaults(run=run)


def run(client: Client, arguments: argparse.Namespace, console: Console) -> int:
    """Print the answer."""
    prompt, knobs = given_prompt(arguments), given_knobs(arguments)
    if arguments.stream:
        with client.stream(**prompt, **knobs) as stream:
            for piece in stream:
                if arguments.json:
                    print(as_json(asdict(piece)), flush=True)
                else:
                    print(piece.text, end="", flush=True)
            completion = stream.finish()
        if not arguments.json:
            print()
    else:
        completion = client.generate(**prompt, **knobs)
        print(as_json(completion.as_dict(), indent=2) if arguments.json else completion.text)
    if arguments.stats:
        print_note(summary(completion))
    return 0


def summary(completion: Completion) -> str:
    """Return one line: mode, tokens, forwards, tokens per forward, seconds and why the answer ended."""
    counters = completion.counters
    return (
        f"{completion.params.get('mode', '?')}: {completion.num_output_tokens} tokens, "
        f"{counters.get('forwards', 0)} forwards, {counters.get('tokens_per_forward', 0.0):.2f} tokens per forward, "
        f"{completion.seconds:.3f} s, {completion.finish_reason}"
    )

"""The prompt argument of a command: a chat message with the system message before it, or plain text.

Knows no knob.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .screen import STANDARD_INPUT, UsageError


def add_prompt(parser: argparse.ArgumentParser) -> None:
    """Add the prompt, and whether it is a chat message."""
    parser.add_argument("prompt", help="the text, or - to read it from standard input")
    parser.add_argument("--raw", action="store_true", help="continue the text as it is, without the chat template")
    parser.add_argument("--system", metavar="TEXT", help="a system message before the prompt")


def given_prompt(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the prompt as a keyword of Client.generate: a chat message, or plain text with --raw.

    Raises:
        UsageError: the prompt is empty, or --raw and --system are both given.
    """
    text = sys.stdin.read().removesuffix("\n") if arguments.prompt == STANDARD_INPUT else arguments.prompt
    if not text:
        raise UsageError("the prompt is empty")
    if not arguments.raw:
        return {"messages": as_messages(text, arguments.system)}
    if arguments.system:
        raise UsageError("--system needs the chat template, which --raw leaves out")
    return {"text_input": text}


def as_messages(text: str, system: str | None) -> list[dict[str, str]]:
    """Return the chat of one user message, `text`, after a system message if there is one."""
    before = [{"role": "system", "content": system}] if system else []
    return [*before, {"role": "user", "content": text}]

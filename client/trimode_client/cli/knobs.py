"""Command-line flags for every knob, made from the server's own table of fields, and the prompt argument.

Short names stand beside the wire names: --steps is --denoise-steps, --block is --block-length; --stop, --length and
--span add one text, size or span.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from trimode.api.fields import BY_NAME, FIELDS_OF_MODES, Mode
from trimode.api.params import NOT_OF_TASKS, others_fields

from ..request import KNOBS, Knobs
from .usage import UsageError

ALIASES = {
    "denoise_steps": "--steps",
    "block_length": "--block",
    "stop_words": "--stop",
    "infill_lengths": "--length",
    "spans": "--span",
}
# timeout_ms is --timeout in seconds, and stream_provisional what `trimode watch` is there for.
FLAGS = tuple(name for name in KNOBS if name not in ("timeout_ms", "stream_provisional"))
_TYPES: dict[str, type] = {"int": int, "float": float}
_SHOWN = "Leave out the prompt's text, or put it in front of the answer. [left out]"
_ASKED = "What the text answers, a chat message in front of it; nano does well only with its question. [none]"
_WINDOW = "Tokens of a window, from 3 up to the model's. [the model's]"
_HELP: dict[str | None, dict[str, str]] = {
    None: {
        "max_tokens": "Most tokens to generate. [128]",
        "revise_rounds": "With diffusion: most times that each block is revised. [0]",
        "stop_words": "Generation ends before TEXT; may be given several times. [none]",
        "exclude_input_in_output": _SHOWN,
    },
    "infill": {
        "max_tokens": "Most tokens of a gap whose size is searched. [32]",
        "block_length": _WINDOW,
        "infill_tokens": "Size of the gap in tokens, where there is one gap. [searched]",
        "infill_lengths": "A size of the gap to try; may be given several times. [searched]",
        "instruction": _ASKED,
    },
    "revise": {
        "spans": "Reconsider characters (Unicode code points) START up to END and nothing beside them; "
        "may be given several times. [all of the text]",
        "instruction": _ASKED,
        "block_length": _WINDOW,
        "revise_rounds": "Most times that the text is gone through. [2]",
    },
}
"""What a flag does where the table of fields speaks of more than the command has."""


def add_knobs(parser: argparse.ArgumentParser, task: str | None = None, without: tuple[str, ...] = ()) -> None:
    """Add a flag per knob that `task` ("infill", "revise", None for generation) has.

    A flag not given leaves the field out, so that the server's default holds.
    """
    without = (*without, *_not_of(task))
    group = parser.add_argument_group("knobs", "left out, the server's defaults hold")
    for name in FLAGS:
        if name in without:
            continue
        field = BY_NAME[name]
        flags = [flag for flag in (ALIASES.get(name), "--" + name.replace("_", "-")) if flag]
        told = f"{field.help} [{field.default}]" if field.default else field.help
        told = _HELP[task].get(name, told)
        options: dict[str, Any] = {"dest": name, "default": None, "help": told.replace("%", "%%")}
        match field.kind:
            case "bool":
                options["action"] = argparse.BooleanOptionalAction
            case "strings":
                options |= {"action": "append", "metavar": "TEXT"}
            case "ints":
                options |= {"action": "append", "type": int, "metavar": "I"}
            case "json":
                options |= {"action": "append", "type": _span, "metavar": "START:END"}
            case kind:
                options |= {"type": _TYPES.get(kind, str), "metavar": "X" if kind == "float" else kind[0].upper()}
        group.add_argument(*flags, **options)


def _not_of(task: str | None) -> set[str]:
    """Return the knobs that `task` has not; what is no generation has one mode, diffusion."""
    others = others_fields(task)
    if task is None:
        return set(others)
    other_modes = {name for name, modes in FIELDS_OF_MODES.items() if Mode.DIFFUSION not in modes}
    return {*others, *NOT_OF_TASKS[task], *other_modes, "mode"}


def _span(text: str) -> list[int]:
    start, colon, end = text.partition(":")
    if not (colon and start.isdecimal() and end.isdecimal()):
        raise argparse.ArgumentTypeError(f"must be START:END in characters, got {text!r}")
    return [int(start), int(end)]


def given_knobs(arguments: argparse.Namespace) -> Knobs:
    """Return the knobs that were given."""
    found = {name: getattr(arguments, name, None) for name in FLAGS}
    knobs: Knobs = {name: value for name, value in found.items() if value is not None}  # type: ignore[assignment]
    return knobs


def knobs_of(mode: Mode, knobs: Knobs) -> Knobs:
    """Return `mode` and those of `knobs` that it has."""
    kept = {name: value for name, value in knobs.items() if mode in FIELDS_OF_MODES.get(name, (mode,))}
    allowed: Knobs = {**kept, "mode": mode.value}  # type: ignore[typeddict-item]
    return allowed


def add_prompt(parser: argparse.ArgumentParser) -> None:
    """Add the prompt and how it is to be taken."""
    parser.add_argument("prompt", help="the text, or - to read it from standard input")
    parser.add_argument("--raw", action="store_true", help="continue the text as it is, without the chat template")
    parser.add_argument("--system", metavar="TEXT", help="a system message before the prompt")


def given_prompt(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the prompt as keyword of Client.generate: a chat message, or plain text with --raw.

    Raises:
        UsageError: the prompt is empty, or --raw and --system are both given.
    """
    text = sys.stdin.read().removesuffix("\n") if arguments.prompt == "-" else arguments.prompt
    if not text:
        raise UsageError("the prompt is empty")
    if not arguments.raw:
        return {"messages": as_messages(text, arguments.system)}
    if arguments.system:
        raise UsageError("--system needs the chat template, which --raw leaves out")
    return {"prompt": text}


def as_messages(text: str, system: str | None) -> list[dict[str, str]]:
    """Return the chat that consists of `text`, behind a system message if there is one."""
    before = [{"role": "system", "content": system}] if system else []
    return [*before, {"role": "user", "content": text}]

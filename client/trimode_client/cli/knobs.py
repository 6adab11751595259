"""Command-line flags for every knob, made from the server's own table of fields, and the knobs that were given.

--steps is short for --denoise-steps, and --block for --block-length. --stop, --bad, --length and --span add one text,
size or span each. Checks no value; the client does.
"""

from __future__ import annotations

import argparse
from typing import Any

from trimode.api.applicability import FIELDS_OF_MODES, NOT_OF_OPERATIONS, fields_of_others
from trimode.api.fields import BY_NAME, Field, Mode, Operation

from ..knobs import KNOBS, Knobs

ALIASES = {
    "denoise_steps": "--steps",
    "block_length": "--block",
    "stop_words": "--stop",
    "infill_lengths": "--length",
    "spans": "--span",
    "bad_words": "--bad",
}
# --timeout, in seconds, stands for timeout_ms, and `trimode watch` for stream_provisional.
FLAGS = tuple(name for name in KNOBS if name not in ("timeout_ms", "stream_provisional"))
_TYPES: dict[str, type] = {"int": int, "float": float}
_PROMPT_SHOWN = "Leave the prompt's text out of the answer, or put it before the answer. [left out]"
_QUESTION = "The question that the text answers, sent as a chat message before it; nano needs it. [none]"
_WINDOW = "Tokens of a window, from 3 up to the model's. [the model's]"
_HELP: dict[Operation, dict[str, str]] = {
    Operation.GENERATE: {
        "max_tokens": "Most tokens to generate. [128]",
        "revise_rounds": "With diffusion: how often each block is revised at most. [0]",
        "stop_words": "Generation ends before TEXT; may be given several times. [none]",
        "exclude_input_in_output": _PROMPT_SHOWN,
    },
    Operation.INFILL: {
        "max_tokens": "Most tokens of a gap whose size is searched. [32]",
        "block_length": _WINDOW,
        "infill_tokens": "Size of the gap in tokens, if there is only one gap. [searched]",
        "infill_lengths": "A size of the gap to try; may be given several times. [searched]",
        "instruction": _QUESTION,
    },
    Operation.REVISE: {
        "spans": "Reconsider only the characters (Unicode code points) from START up to END; "
        "may be given several times. [the whole text]",
        "instruction": _QUESTION,
        "block_length": _WINDOW,
        "revise_rounds": "How often the text is revised at most. [2]",
    },
}
"""Help where the table of fields speaks of more than the operation has."""


def add_knobs(
    parser: argparse.ArgumentParser, operation: Operation = Operation.GENERATE, without: tuple[str, ...] = ()
) -> None:
    """Add a flag for each knob of `operation`, except for those in `without`.

    A flag that is not given leaves the field out, so that the server's default holds.
    """
    left_out = {*without, *_not_of(operation)}
    group = parser.add_argument_group("knobs", "The server has a default for each knob that is left out.")
    shown = "A picture before the prompt, a file or a URL; may be given several times. [none]"
    group.add_argument("--image", dest="images", action="append", metavar="FILE", help=shown)
    for name in FLAGS:
        if name in left_out:
            continue
        field = BY_NAME[name]
        flags = [flag for flag in (ALIASES.get(name), "--" + name.replace("_", "-")) if flag]
        default = f"{field.help} [{field.default}]" if field.default else field.help
        shown = _HELP[operation].get(name, default).replace("%", "%%")
        group.add_argument(*flags, dest=name, default=None, help=shown, **_options(field))


def _options(field: Field) -> dict[str, Any]:
    """Return how argparse reads the flag of a field."""
    match field.kind:
        case "bool":
            return {"action": argparse.BooleanOptionalAction}
        case "strings":
            return {"action": "append", "metavar": "TEXT"}
        case "ints":
            return {"action": "append", "type": int, "metavar": "I"}
        case "object":
            return {"metavar": "JSON"}
        case "json":
            return {"action": "append", "type": _span, "metavar": "START:END"}
        case kind:
            return {"type": _TYPES.get(kind, str), "metavar": "X" if kind == "float" else kind[0].upper()}


def _not_of(operation: Operation) -> set[str]:
    """Return the knobs that `operation` does not have; all but generation have one mode, diffusion."""
    others = set(fields_of_others(operation))
    if operation is Operation.GENERATE:
        return others
    other_modes = {name for name, modes in FIELDS_OF_MODES.items() if Mode.DIFFUSION not in modes}
    return {*others, *NOT_OF_OPERATIONS[operation], *other_modes, "mode"}


def _span(text: str) -> list[int]:
    start, colon, end = text.partition(":")
    if not (colon and start.isdecimal() and end.isdecimal()):
        raise argparse.ArgumentTypeError(f"must be START:END in characters, got {text!r}")
    return [int(start), int(end)]


def given_knobs(arguments: argparse.Namespace) -> Knobs:
    """Return the knobs that were given."""
    found = {name: getattr(arguments, name, None) for name in ("images", *FLAGS)}
    knobs: Knobs = {name: value for name, value in found.items() if value is not None}  # type: ignore[assignment]
    return knobs


def knobs_of(mode: Mode, knobs: Knobs) -> Knobs:
    """Return `mode` as a knob, and those of `knobs` that the mode has."""
    kept = {name: value for name, value in knobs.items() if mode in FIELDS_OF_MODES.get(name, (mode,))}
    allowed: Knobs = {**kept, "mode": mode.value}  # type: ignore[typeddict-item]
    return allowed

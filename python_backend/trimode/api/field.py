"""Field: a row of the table of a request's fields. Knows no field; fields.py has the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["string", "int", "float", "bool", "strings", "ints", "json", "object"]
Check = Literal[
    "mode",
    "distinct",
    "messages",
    "segments",
    "spans",
    "stop_words",
    "gap_sizes",
    "bad_words",
    "logit_bias",
    "stop_token_ids",
    "image_size",
]
"""Checks that a row may name in addition to its kind's; checks.py has them."""


@dataclass(frozen=True)
class Field:
    """One field of a request.

    Attributes:
        name: its name on the wire.
        default: what holds without it, in words.
        help: what it does, for people.
        low, high: inclusive range of a number, or of each of several.
        choices: the only texts it takes, or that each of several may be; empty for any text.
        more_choices: whether a server may have choices that a client does not know.
        most_characters: of a text; MAX_TEXT_CHARACTERS where it is None.
        empty_is_none: whether an empty text, list or object, or a list of an empty text, means that it is not given.
        check: what is checked beyond kind, range and choices.
    """

    name: str
    kind: Kind
    default: str
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    more_choices: bool = False
    most_characters: int | None = None
    empty_is_none: bool = False
    check: Check | None = None

"""Options of the command line by environment: which variable sets each, and what it takes. Knows no option by itself.

An option that is given wins over its variable; one that may be given several times adds to it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...config import FALSE, PREFIX, TRUE

OTHERWISE = {"api_key": "TRIMODE_SERVER_API_KEY"}
"""Variables with another name than their option's: TRIMODE_API_KEY is the client's."""
NOT_HERE = (
    "help",
    "version",
    "bundle",
    "reveal_rule",
    "stream_interval",
    "stream_interval_ms",
    "allowed_media_domains",
)
"""Options without a variable of this module: config.py reads those of keys, api/reveals.py TRIMODE_REVEAL_RULES."""
LINK = re.compile(r"(tcp|udp|sctp)://.*")
"""What Kubernetes sets as `TRIMODE_HTTP_PORT` in containers beside a service that is called `trimode-http`."""


def variables(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return the variable of each option that has one."""
    return {_name_of(action): action for action in _settings(parser)}


def take_environment(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    """Let what the environment says be the defaults of `parser`; a value that cannot be ends it as an option's does."""
    for name, action in variables(parser).items():
        given = environment.get(name)
        if given is None or (name.endswith("_PORT") and LINK.fullmatch(given)):
            continue
        try:
            parser.set_defaults(**{action.dest: _read(action, given)})
        except argparse.ArgumentTypeError as exc:
            parser.error(f"variable {name}: {exc}")


def _settings(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:  # argparse has no public way to ask for them
        if action.option_strings and action.dest not in NOT_HERE:
            yield action


def _name_of(action: argparse.Action) -> str:
    return OTHERWISE.get(action.dest, f"{PREFIX}{action.dest.upper()}")


def _read(action: argparse.Action, text: str) -> object:
    """Return the value of `text`; several values are separated by commas.

    Raises:
        argparse.ArgumentTypeError: it has none.
    """
    if action.nargs == 0:
        return _boolean(text)
    if isinstance(action.default, list):
        return [_converted(action, part.strip()) for part in text.split(",") if part.strip()]
    return _converted(action, text)


def _boolean(text: str) -> bool:
    if text.lower() not in (*TRUE, *FALSE):
        raise argparse.ArgumentTypeError(f"must be {' or '.join((*TRUE, *FALSE))}, got {text!r}")
    return text.lower() in TRUE


def _converted(action: argparse.Action, text: str) -> object:
    convert: Any = action.type or str
    try:
        value = convert(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"must be of the type {convert.__name__}, got {text!r}") from exc
    if action.choices is not None and value not in action.choices:
        allowed = " or ".join(str(choice) for choice in action.choices)
        raise argparse.ArgumentTypeError(f"must be {allowed}, got {text!r}")
    return value

"""Checks of values that are not fields of generate. Each takes a field's name and value, and returns the value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import refused

Check = Callable[[str, Any], Any]
MAX_SHORT_TEXT = 4096  # characters of a name or an id; longer ones are slips


def boolean(name: str, value: object) -> bool:
    """Take true and false."""
    if not isinstance(value, bool):
        raise refused(name, "must be true or false", value, "wrong_type")
    return value


def text(name: str, value: object) -> str:
    """Take any valid Unicode text."""
    if not isinstance(value, str):
        raise refused(name, "must be a string", value, "wrong_type")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise refused(name, "must be valid Unicode text", value, "bad_utf8") from exc
    return value


def short_text(name: str, value: object) -> str:
    """Take a name or an id."""
    if len(found := text(name, value)) > MAX_SHORT_TEXT:
        raise refused(name, f"must be at most {MAX_SHORT_TEXT} characters", found)
    return found


def integer(low: int, high: int) -> Check:
    """Return the check for integers from `low` to `high`; a float without a fraction is one, as in JSON."""

    def check(name: str, value: object) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise refused(name, "must be an integer", value, "wrong_type")
        if not low <= value <= high:
            raise refused(name, f"must be between {low} and {high}", value)
        return value

    return check


def number(low: float, high: float) -> Check:
    """Return the check for numbers from `low` to `high`."""

    def check(name: str, value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise refused(name, "must be a number", value, "wrong_type")
        if not low <= value <= high:  # nan is in no range; an integer may be too large for a float
            raise refused(name, f"must be between {low:g} and {high:g}", value)
        return float(value)

    return check


def mapping(name: str, value: object) -> dict[str, Any]:
    """Take an object, and leave out what is null in it."""
    if not isinstance(value, dict):
        raise refused(name, "must be an object", value, "wrong_type")
    return {key: item for key, item in value.items() if item is not None}


def listing(name: str, value: object) -> list[Any]:
    """Take a list."""
    if not isinstance(value, list):
        raise refused(name, "must be a list", value, "wrong_type")
    return value


def one_of(*choices: object) -> Check:
    """Return the check for one of these values."""

    def check(name: str, value: object) -> Any:
        if not any(value is one or (type(value) is type(one) and value == one) for one in choices):
            shown = " or ".join(map(str, choices))
            raise refused(name, f"must be {shown}", value)
        return value

    return check


def texts(most: int, longest: int) -> Check:
    """Return the check for a text, or a list of at most `most` texts of 1 to `longest` characters; returns a list."""

    def check(name: str, value: object) -> list[str]:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list):
            raise refused(name, "must be a string or a list of strings", value, "wrong_type")
        if len(items) > most:
            raise refused(name, f"may hold at most {most} texts", items)
        for item in items:
            if not 1 <= len(text(name, item)) <= longest:
                raise refused(name, f"must hold texts of 1 to {longest} characters", item)
        return items

    return check

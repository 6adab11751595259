"""What options of the command line take: numbers with a unit and a range, addresses. Errors name what may be."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from urllib.parse import urlsplit

from ...config import MANY

LARGEST_MIB = 2047  # of a body: gRPC counts the bytes of a message in 31 bits
LARGEST_TOTAL_MIB = 2**20  # of all bodies together: a TiB is more than a machine has
LARGEST_PORT = 65535
LONGEST_SECONDS = 86400  # a day: whoever means no limit at all finds none that is longer


def mebibytes(text: str) -> float:
    """Return a size above 0 and at most LARGEST_MIB.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    return _number(float, text, lambda size: 0 < size <= LARGEST_MIB, f"above 0 and at most {LARGEST_MIB}")


def total_mebibytes(text: str) -> float:
    """Return a size above 0 and at most LARGEST_TOTAL_MIB.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    allowed = f"above 0 and at most {LARGEST_TOTAL_MIB}"
    return _number(float, text, lambda size: 0 < size <= LARGEST_TOTAL_MIB, allowed)


def count(text: str) -> int:
    """Return a whole number of at least 1.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    return int(_number(int, text, lambda number: number >= 1, "a whole number of at least 1"))


def interval(text: str) -> int:
    """Return a whole number from 0 to MANY.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    return int(_number(int, text, lambda number: 0 <= number <= MANY, f"a whole number from 0 to {MANY}"))


def port(text: str) -> int:
    """Return the number of a port, 0 for one that is free.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    allowed = f"a whole number from 0 to {LARGEST_PORT}"
    return int(_number(int, text, lambda number: 0 <= number <= LARGEST_PORT, allowed))


def seconds(text: str) -> float:
    """Return a time above 0 and at most LONGEST_SECONDS.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    return _number(float, text, lambda time: 0 < time <= LONGEST_SECONDS, f"above 0 and at most {LONGEST_SECONDS}")


def whole_seconds(text: str) -> int:
    """Return a whole number of seconds from 1 to LONGEST_SECONDS.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    allowed = f"a whole number from 1 to {LONGEST_SECONDS}"
    return int(_number(int, text, lambda time: 1 <= time <= LONGEST_SECONDS, allowed))


def grace(text: str) -> float:
    """Return a time from 0, for none at all, to LONGEST_SECONDS.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    return _number(float, text, lambda time: 0 <= time <= LONGEST_SECONDS, f"from 0 to {LONGEST_SECONDS}")


def url(text: str) -> str:
    """Return an address of HTTP with a host, "" for none.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        found = urlsplit(text)
        fits = not text or (found.scheme in ("http", "https") and bool(found.hostname))
        _ = found.port  # which is a number up to LARGEST_PORT
    except ValueError:
        fits = False
    if not fits:
        raise argparse.ArgumentTypeError(f"must begin with http:// or https:// and a host, got {text}")
    return text


def _number(kind: type[float] | type[int], text: str, fits: Callable[[float], bool], allowed: str) -> float:
    try:
        number: float = kind(text)
    except ValueError:
        number = math.nan
    if not fits(number):
        raise argparse.ArgumentTypeError(f"must be {allowed}, got {text}")
    return number

"""Reads JSON as other readers do: without NaN and Infinity, which Python takes, and numbers that become infinite."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def loads(text: str) -> Any:
    """Return what a text of JSON says.

    Raises:
        ValueError: it is not valid JSON, or has a number that no float holds.
        RecursionError: it nests too deep.
    """
    return json.loads(text, parse_constant=_no_constant, parse_float=_finite)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(number: str) -> float:
    if math.isinf(found := float(number)):
        raise ValueError(f"{number[:40]} is too large for a number of JSON's readers")
    return found

"""How much a regular expression repeats: a bound that no library keeps by itself. Knows nothing of grammars."""

from __future__ import annotations

import re

MOST_REPEATS = 20_000
"""Copies of one atom that nested counts such as (a{100}){100} may ask for. Counts of a hundred million hang a library
that copies an expression for each; what people write has some thousands."""
_COUNTED_TO = 10**9
"""From here on a weight is no longer counted exactly; Python itself takes a number of 4,300 digits for an error."""
_COUNT = re.compile(r"\{(\d*)(?:,(\d*))?\}")


def weight(expression: str) -> int:
    """Return how many copies of one atom the counts of `expression` ask for, nested counts multiplied.

    At most 1e9. An upper bound, found by looking at brackets and counts alone: what is no expression has a weight too.
    """
    stack, at, last = [0], 0, 1  # the largest weight in each open group; that of the atom before
    while at < len(expression):
        char = expression[at]
        if char == "\\":
            at, last = at + 2, 1
        elif char == "[":
            at, last = _after_class(expression, at), 1
        elif char == "(":
            stack.append(0)
            at += 1
        elif char == ")" and len(stack) > 1:
            last = max(stack.pop(), 1)
            at += 1
        elif char == "{" and (found := _COUNT.match(expression, at)):
            last = min(last * max(_number(digits) for digits in (*found.groups(), "1") if digits), _COUNTED_TO)
            at = found.end()
        else:
            last = last if char in "*+?" else 1
            at += 1
        stack[-1] = max(stack[-1], last)
    return max(stack)


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) < len(str(_COUNTED_TO)) else _COUNTED_TO


def _after_class(expression: str, at: int) -> int:
    """Return where the class that begins at `at` ends."""
    at += 1
    while at < len(expression) and expression[at] != "]":
        at += 2 if expression[at] == "\\" else 1
    return at + 1

"""How much a regular expression repeats: a bound that no library keeps by itself. Knows nothing of grammars."""

from __future__ import annotations

import re

MOST_REPEATS = 20_000
"""Copies of one atom that nested counts such as (a{100}){100} may ask for. Counts of a hundred million hang a library
that copies an expression for each; what people write has some thousands."""
_COUNT = re.compile(r"\{(\d*)(?:,(\d*))?\}")


def weight(expression: str) -> int:
    """Return how many copies of one atom the counts of `expression` ask for, nested counts multiplied.

    An upper bound, found by looking at brackets and counts alone: an expression that is not one has a weight too.
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
            last *= max(int(number) for number in (*found.groups(), "1") if number)
            at = found.end()
        else:
            last = last if char in "*+?" else 1
            at += 1
        stack[-1] = max(stack[-1], last)
    return max(stack)


def _after_class(expression: str, at: int) -> int:
    """Return where the class that begins at `at` ends."""
    at += 1
    while at < len(expression) and expression[at] != "]":
        at += 2 if expression[at] == "\\" else 1
    return at + 1

"""How much an expression repeats, worked out by hand."""

from __future__ import annotations

import pytest
from trimode.grammar.schemas.weights import weight


@pytest.mark.parametrize(
    ("expression", "copies"),
    [
        ("", 0),
        ("abc", 1),
        ("a{3}", 3),
        ("a{2,7}b{4}", 7),
        ("(a{10}b){20}", 200),
        ("((a{100}){100}){100}", 1_000_000),
        (r"a\{9\}", 1),
        ("[{9}]{5}", 5),
        (r"[\]{9}]{2}", 2),
        ("(a{3}|b{4}){5}", 20),
        ("a{,6}", 6),
        ("a{x}", 1),
        (")(", 1),
        ("a{" + "9" * 5000 + "}", 10**9),
        ("a{" + "0" * 5000 + "7}", 7),
        ("(" * 600 + "a" + "{99999999})" * 600, 10**9),
    ],
)
def test_counts_inside_of_counts_are_multiplied(expression: str, copies: int) -> None:
    assert weight(expression) == copies

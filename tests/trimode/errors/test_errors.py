"""Errors: how a value is shown in one, and how it is shortened."""

from __future__ import annotations

from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.api.fields import (
    Mode,
)
from trimode.errors import Described, RequestError, shorten


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Mode.DIFFUSION, '"diffusion"'),
        (((0, 1), [2, 3]), "[[0, 1], [2, 3]]"),
        (("x",), '["x"]'),
        (True, "true"),
        (None, "null"),
        ('a "b"\n', r'"a \"b\"\n"'),
        ("\udcff é\x7f", r'"\udcff é\u007f"'),
        (b"\xff hi", r'"\udcff hi"'),
        (MappingProxyType({"a": 1}), '{"a": 1}'),
        (1 << 2000, "an integer of 2001 bits"),
        ([10**5000], "a list"),
        (Described("2 gaps"), "2 gaps"),
        (Described("/a\x1b[31m"), r"/a\u001b[31m"),
    ],
)
def test_a_value_is_shown_as_json(value: object, shown: str) -> None:
    assert shorten(value) == shown


def test_a_name_with_control_characters_is_shown_with_their_codes() -> None:
    assert str(RequestError("a\x1b[31m", "is not a field", 1)) == r"a\u001b[31m is not a field, got 1"


@given(st.text(max_size=300), st.integers(40, 120))
def test_shorten_keeps_to_its_limit(text: str, limit: int) -> None:
    assert len(shorten(text, limit)) <= limit

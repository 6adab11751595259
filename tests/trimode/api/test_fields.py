"""The table of fields: each has its kind and range, and a value is held to them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trimode.api.checks import check_field
from trimode.api.field import Field
from trimode.api.fields import FIELDS
from trimode.errors import RequestError

WRONG: dict[str, list[object]] = {
    "string": [5, b"text", ["text"], True],
    "int": [1.5, "1", True, [1], 1.0],
    "float": ["1", True, [1.0]],
    "bool": [1, "true", 0.0],
    "strings": [3, [3], [b"x"], {"a": "b"}],
    "ints": ["1", True, 1.0, ["1"], [True], [1.0]],
    "json": [5, {"role": "user"}, True],
    "object": [5, [5], "[5]", True],
}
RANGED = [field for field in FIELDS if field.low is not None]


def refused(name: str, value: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        check_field(name, value)
    return caught.value


def beyond(field: Field, limit: float, direction: int) -> object:
    value = limit + direction * (0.001 if field.kind == "float" else 1)
    return [int(value)] if field.kind == "ints" else value if field.kind == "float" else int(limit) + direction


@pytest.mark.parametrize(("name", "value"), [(field.name, value) for field in FIELDS for value in WRONG[field.kind]])
def test_a_value_of_the_wrong_type_is_refused(name: str, value: object) -> None:
    error = refused(name, value)
    assert (error.field, error.error_type) == (name, "wrong_type")


@pytest.mark.parametrize("field", RANGED, ids=lambda field: field.name)
def test_a_value_below_the_range_is_refused(field: Field) -> None:
    error = refused(field.name, beyond(field, field.low or 0, -1))
    assert (error.field, error.error_type) == (field.name, "invalid_value")


@pytest.mark.parametrize("field", RANGED, ids=lambda field: field.name)
def test_a_value_above_the_range_is_refused(field: Field) -> None:
    error = refused(field.name, beyond(field, field.high or 0, +1))
    assert (error.field, error.error_type) == (field.name, "invalid_value")


@pytest.mark.parametrize("field", RANGED, ids=lambda field: field.name)
def test_a_value_above_the_range_is_told_the_upper_limit(field: Field) -> None:
    error = refused(field.name, beyond(field, field.high or 0, +1))
    assert str(field.high) in error.limit


@pytest.mark.parametrize("field", RANGED, ids=lambda field: field.name)
def test_the_ends_of_a_range_belong_to_it(field: Field) -> None:
    ends: list[Any] = [field.low, field.high]
    for end in ends:
        assert check_field(field.name, [end] if field.kind == "ints" else end) in (end, (end,))


@settings(max_examples=200)
@given(st.sampled_from([field.name for field in FIELDS]), st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
))  # fmt: skip
def test_any_json_value_is_either_taken_or_a_request_error(name: str, value: object) -> None:
    try:
        check_field(name, value)
    except RequestError as error:
        assert error.field.partition("[")[0] == name

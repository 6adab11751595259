"""Kinds of values that the table of fields alone does not exercise."""

from __future__ import annotations

import pytest
from trimode.api.fields import BY_NAME
from trimode.api.kinds import KINDS
from trimode.errors import RequestError


@pytest.mark.parametrize("given", [{"5": 1}, '{"5": 1}'])
def test_an_object_comes_as_itself_or_as_its_text(given: object) -> None:
    assert KINDS["object"](BY_NAME["logit_bias"], given) == {"5": 1}


@pytest.mark.parametrize(("given", "kind"), [("[1]", "wrong_type"), ("{", "bad_json"), ("[" * 100_000, "bad_json")])
def test_a_text_that_holds_no_object_is_refused(given: str, kind: str) -> None:
    with pytest.raises(RequestError) as caught:
        KINDS["object"](BY_NAME["logit_bias"], given)
    assert caught.value.error_type == kind

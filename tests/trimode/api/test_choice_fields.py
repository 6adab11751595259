"""The limits of the fields about which tokens may be chosen."""

from __future__ import annotations

import pytest
from trimode.api.checks import check_field
from trimode.api.choice_fields import CHOICE_FIELDS, MAX_BAD_CHARACTERS, MAX_BIASES, MAX_STOP_TOKENS
from trimode.errors import RequestError


def refused(name: str, value: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        check_field(name, value)
    return caught.value


def test_a_bias_is_read_by_token_whatever_the_keys_are() -> None:
    assert check_field("logit_bias", {"5": 1, "6": -2.5}) == check_field("logit_bias", {5: 1, 6: -2.5})
    assert check_field("logit_bias", '{"5": 100}') == {5: 100.0}


@pytest.mark.parametrize(
    ("value", "field", "said"),
    [
        ({"a": 1}, "logit_bias", "token ids"),
        ({"-1": 1}, "logit_bias", "token ids"),
        ({"9" * 20: 1}, "logit_bias", "token ids"),
        ({str(2**31): 1}, "logit_bias", "between 0"),
        ({True: 1}, "logit_bias", "token ids"),
        ({"5": 101}, "logit_bias.5", "between -100.0 and 100.0"),
        ({"5": "1"}, "logit_bias.5", "a number"),
        ({"5": float("nan")}, "logit_bias.5", "finite"),
        ({str(at): 1 for at in range(MAX_BIASES + 1)}, "logit_bias", "at most 300"),
    ],
)
def test_a_bias_that_is_none_is_refused(value: object, field: str, said: str) -> None:
    error = refused("logit_bias", value)
    assert error.field == field and said in error.limit


def test_bad_words_are_few_and_short_in_all() -> None:
    assert check_field("bad_words", ["a", "b", "a"]) == ("a", "b")
    assert "at most 64" in refused("bad_words", [str(at) for at in range(65)]).limit
    assert "1 to 256" in refused("bad_words", ["a" * 257]).limit
    assert "1 to 256" in refused("bad_words", ["a", ""]).limit
    assert str(MAX_BAD_CHARACTERS) in refused("bad_words", [chr(97 + at) * 256 for at in range(17)]).limit


def test_stop_tokens_are_few_each_once() -> None:
    assert check_field("stop_token_ids", [5, 6, 5]) == (5, 6)
    assert str(MAX_STOP_TOKENS) in refused("stop_token_ids", list(range(MAX_STOP_TOKENS + 1))).limit


def test_nothing_of_these_is_as_if_it_were_left_out() -> None:
    for field in CHOICE_FIELDS:
        if field.empty_is_none:
            assert check_field(field.name, {} if field.kind == "object" else []) is None

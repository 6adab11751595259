"""The limits of a caller, as a line of the keys' file has them."""

from __future__ import annotations

import pytest
from trimode.errors import ServeError
from trimode.server.access.rates import UNLIMITED, Rates


def test_words_replace_what_others_have() -> None:
    usual = Rates(requests_per_minute=60, concurrent_requests=2)
    words = ["requests_per_minute=5", "tokens_per_minute=1000", "concurrent_requests=none"]
    assert usual.with_words(words, "keys:1") == Rates(5, 1000, None)
    assert usual.with_words([], "keys:1") == usual
    assert Rates(None, None, None) == UNLIMITED


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "", "²"])
def test_a_limit_that_is_no_number_is_refused_by_name(value: str) -> None:
    with pytest.raises(ServeError, match=rf"^keys:1: tokens_per_minute must be .* got {value}$"):
        UNLIMITED.with_words([f"tokens_per_minute={value}"], "keys:1")


def test_a_limit_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ServeError, match=r"rpm is not a limit; those are requests_per_minute, tokens_per_minute, conc"):
        UNLIMITED.with_words(["rpm=5"], "keys:1")

"""CORS: which origins are read from the option, and which headers a browser gets."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request
from trimode.errors import ServeError
from trimode.server.access.origins import Origins

A, B = "https://a.example", "http://localhost:3000"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}


def headers(origins: Origins, **given: str) -> dict[str, str]:
    return origins.headers(make_mocked_request("POST", "/v1/completions", given))


@pytest.mark.parametrize("text", [f"{A},{B}", f" {A} , {B},", f'["{A}", "{B}"]'])
def test_origins_are_a_list_by_commas_or_as_json(text: str) -> None:
    assert Origins.of(text).allowed == {A, B}


def test_without_origins_no_header_is_sent() -> None:
    assert headers(Origins.of(""), Origin=A) == {}
    assert Origins.of("").preflight(make_mocked_request("OPTIONS", "/", {"Origin": A, **ASKS})) is None


@pytest.mark.parametrize("text", ["a.example", f"{A}/", f"{A}/x", "https://A.example", "null", '["*"', "[1]"])
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ServeError, match="--allowed-origins"):
        Origins.of(text)


def test_an_origin_of_the_list_is_named_and_others_are_not() -> None:
    origins = Origins.of(f"{A},{B}")
    allowed = headers(origins, Origin=B)
    assert allowed["Access-Control-Allow-Origin"] == B and allowed["Vary"] == "Origin"
    assert "retry-after" in allowed["Access-Control-Expose-Headers"]
    for origin in ("https://c.example", "null", f"{A}.evil.example"):
        assert headers(origins, Origin=origin) == {"Vary": "Origin"}
    assert headers(origins) == {"Vary": "Origin"}  # a cache must not give a browser this answer


def test_every_origin_is_allowed_by_a_star() -> None:
    assert headers(Origins.of("*"), Origin=A)["Access-Control-Allow-Origin"] == "*"
    assert headers(Origins.of("*")) == {}


def test_a_browser_that_asks_first_hears_what_it_may_send() -> None:
    answer = Origins.of(A).preflight(make_mocked_request("OPTIONS", "/v1/completions", {"Origin": A, **ASKS}))
    assert answer is not None and answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == A
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization, content-type"
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("OPTIONS", {"Origin": "https://c.example", **ASKS}),
        ("OPTIONS", {"Origin": A}),
        ("OPTIONS", ASKS),
        ("POST", {"Origin": A, **ASKS}),
    ],
)
def test_anything_else_is_answered_as_ever(method: str, given: dict[str, str]) -> None:
    assert Origins.of(A).preflight(make_mocked_request(method, "/", given)) is None


def test_names_of_headers_that_are_none_are_not_repeated() -> None:
    asks = {**ASKS, "Origin": A, "Access-Control-Request-Headers": "a b; c"}
    answer = Origins.of(A).preflight(make_mocked_request("OPTIONS", "/", asks))
    assert answer is not None and "Access-Control-Allow-Headers" not in answer.headers

"""The status and body of an HTTP answer to an error, from the text of the error."""

from __future__ import annotations

import json

import pytest
from trimode.errors import ERROR_TYPES
from trimode.server.error_answer import error_response, error_text, status_of


@pytest.mark.parametrize("name", ERROR_TYPES)
def test_the_status_is_that_of_the_type_in_front(name: str) -> None:
    assert status_of(f"{name}: what happened") == ERROR_TYPES[name].http_status


def test_a_type_that_is_not_known_is_the_callers_fault() -> None:
    assert status_of("no_such_type: what happened", 500) == 400


@pytest.mark.parametrize("text", ["", "what happened", "Internal: what happened", "engine_failed", "engine_failed:"])
def test_a_text_without_a_type_has_the_status_that_is_given(text: str) -> None:
    assert (status_of(text), status_of(text, 502)) == (400, 502)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": "overloaded: full"}', "overloaded: full"),
        (b'data: {"error": "overloaded: full"}\n\n', "overloaded: full"),
        (b'{"other": 1}', 'internal: {"other": 1}'),
        (b'["error"]', 'internal: ["error"]'),
        (b"\xff" + 300 * b"x", "internal: \N{REPLACEMENT CHARACTER}" + 199 * "x"),
        (b"", "internal: "),
    ],
)
def test_the_text_of_tritons_error(body: bytes, text: str) -> None:
    assert error_text(body) == text


def test_an_answer_says_when_to_try_again_if_that_may_help() -> None:
    full, bad = error_response("overloaded: full"), error_response("bad_json: no")
    assert isinstance(full.body, bytes)
    assert json.loads(full.body) == {"error": "overloaded: full"}
    assert (full.status, full.headers.get("Retry-After")) == (503, "1")
    assert (bad.status, bad.headers.get("Retry-After")) == (400, None)

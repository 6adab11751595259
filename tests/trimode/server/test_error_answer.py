"""The status and body of an HTTP answer to an error, from the text of the error."""

from __future__ import annotations

import json

import pytest
from trimode.errors import ERROR_TYPES
from trimode.server.error_answer import error_response, error_text, with_type


@pytest.mark.parametrize("name", ERROR_TYPES)
def test_the_status_is_that_of_the_type_in_front(name: str) -> None:
    assert error_response(f"{name}: what happened").status == ERROR_TYPES[name].http_status


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Request for unknown model: 'x' is not found", "not_found"),
        ("Request for unknown model: 'm' has no available versions", "unavailable"),
        ("Request for unknown model: 'm' version 1 is not at ready state", "unavailable"),
        ("[request id: a] unexpected inference input 'foo' for model 'm'", "unknown_field"),
        ("Stub process 'm_0_0' is not healthy.", "unavailable"),
        ("Failed to increase the shared memory pool size for key 'x' to 3 bytes.", "unavailable"),
        ("inference input 'top_k' data-type is 'FP32', but model 'm' expects 'INT32'", "wrong_type"),
        ("failed to parse the request JSON buffer: Invalid value. at 1", "bad_json"),
        ("Internal: something", "internal"),
        ("no words that are known", "invalid_value"),
        ("no_such_type: what happened", "invalid_value"),
    ],
)
def test_tritons_own_words_get_a_type(text: str, kind: str) -> None:
    assert with_type(text) == f"{kind}: {text}"
    assert with_type(with_type(text)) == with_type(text)


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

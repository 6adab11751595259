"""What the guard lets through to Triton of a JSON body, and what it says to the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trimode.errors import RequestError
from trimode.server.access.turnstile import Visit
from trimode.server.body_check import check_body

OURS = {"tag": "tag of ours", "caller": "10.0.0.7"}


def checked(body: bytes, *, streaming: bool = False) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(check_body(body, "tag of ours", Visit("10.0.0.7"), streaming=streaming))
    return made


def refused(body: bytes) -> tuple[str, str]:
    """Return (error_type, message)."""
    with pytest.raises(RequestError) as caught:
        check_body(body, "tag of ours", Visit("10.0.0.7"), streaming=False)
    return caught.value.error_type, str(caught.value)


def test_parameters_are_fields_and_the_tag_is_ours() -> None:
    body = b'{"id": "mine", "text_input": "hi", "parameters": {"max_tokens": 5}}'
    assert checked(body) == {"id": "mine", "text_input": "hi", "max_tokens": 5, **OURS}


def test_messages_become_one_string() -> None:
    messages = [{"role": "user", "content": "hi"}]
    assert json.loads(checked(json.dumps({"messages": messages}).encode())["messages"]) == messages


@pytest.mark.parametrize("body", [b'{"text_input": "hi", "top_k": null}', b'{"text_input": "hi", "parameters": null}'])
def test_null_is_not_given(body: bytes) -> None:
    assert checked(body) == {"text_input": "hi", **OURS}


@pytest.mark.parametrize("body", [b'{"max_token": null}', b'{"parameters": {"max_token": null}}', b'{"tag": null}'])
def test_null_for_an_unknown_field(body: bytes) -> None:
    error_type, message = refused(body)
    assert error_type == "unknown_field"
    assert "is not a field" in message


@pytest.mark.parametrize(
    "body",
    [
        b'{"text_input": "hi", "max_tokens": 5, "max_tokens": 6}',
        b'{"max_tokens": 5, "max_tokens": 5}',
        b'{"parameters": {"max_tokens": null, "max_tokens": 6}}',
        rb'{"max_tokens": 5, "max\u005ftokens": 6}',
    ],
)
def test_a_key_given_twice(body: bytes) -> None:
    assert refused(body) == ("bad_json", 'the body must hold each key of an object once, got "max_tokens"')


def test_a_key_given_twice_deep_inside() -> None:
    error_type, message = refused(b'{"messages": [{"role": "user", "role": "system", "content": "hi"}]}')
    assert (error_type, message[-6:]) == ("bad_json", '"role"')


@pytest.mark.parametrize("value", [b"[]", b"0", b'""', b"false", b'"max_tokens"'])
def test_parameters_that_are_no_object(value: bytes) -> None:
    assert refused(b'{"text_input": "hi", "parameters": ' + value + b"}")[0] == "wrong_type"


def test_a_stream_needs_generate_stream() -> None:
    body = b'{"text_input": "hi", "stream": true}'
    assert refused(body)[0] == "not_applicable"
    assert checked(body, streaming=True)["stream"] is True


def test_a_character_of_any_script_counts_as_one_in_messages() -> None:
    messages = [{"role": "user", "content": "語" * 100_000}]
    sent = checked(json.dumps({"messages": messages}).encode())["messages"]
    assert len(sent) < 101_000
    assert json.loads(sent) == messages

"""What this face refuses, and in which form."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import closing
from typing import Any

import httpx
import openai
import pytest

from tests.server.openai.asking import CHAT, QUESTION, TEXT, post, refused
from tests.server.server import Server
from tests.server.wire import send

REFUSED: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "an unknown field": (CHAT, {"messages": QUESTION, "temprature": 1}, "temprature", "unknown_field"),
    "a form that is none": (CHAT, {"messages": QUESTION, "response_format": {"type": "xml"}}, "response_format.type",
                            "invalid_value"),
    "a tool that is no function": (CHAT, {"messages": QUESTION, "tools": [{"type": "custom"}]}, "tools[0].type",
                                   "not_applicable"),
    "a tool that a server would run": ("/v1/responses", {"input": "Hi", "tools": [{"type": "web_search"}]},
                                       "tools[0].type", "not_applicable"),
    "a bias of no token": (TEXT, {"prompt": "a", "logit_bias": {"x": 1}}, "logit_bias", "invalid_value"),
    "a token that is not there": (TEXT, {"prompt": "a", "allowed_token_ids": [9999]}, "allowed_token_ids",
                                  "invalid_value"),
    "rules without a token": (TEXT, {"prompt": "a", "allowed_token_ids": [11], "min_tokens": 2}, "allowed_token_ids",
                                  "not_applicable"),
    "a hot temperature": (TEXT, {"prompt": "a", "temperature": 2.5}, "temperature", "invalid_value"),
    "a text for a number": (TEXT, {"prompt": "a", "max_tokens": "5"}, "max_tokens", "wrong_type"),
    "an image": (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
                 "messages[0].content[0].image_url", "wrong_type"),
    "a picture that a model of text alone does not read": (
        CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        "messages", "not_applicable"),
    "a result of no call": (CHAT, {"messages": [{"role": "tool", "content": "a"}]}, "messages[0].tool_call_id",
                            "invalid_value"),
    "two modes": (CHAT, {"model": "nano:diffusion", "mode": "auto", "messages": QUESTION}, "mode", "given_twice"),
    "a knob of another mode": (CHAT, {"model": "nano:autoregressive", "messages": QUESTION, "threshold": 0.5},
                               "threshold", "not_applicable"),
    "more likely tokens": (CHAT, {"messages": QUESTION, "logprobs": True, "top_logprobs": 21}, "top_logprobs",
                           "invalid_value"),
    "an answer that is too long": (CHAT, {"messages": QUESTION, "max_completion_tokens": 5000},
                                   "max_completion_tokens", "context_length_exceeded"),
    "a prompt that is too long": (TEXT, {"prompt": "a b " * 2100}, "prompt", "context_length_exceeded"),
    "ids out of the vocabulary": (TEXT, {"prompt": [5, 2048]}, "prompt", "invalid_value"),
    "too many stop strings": (TEXT, {"prompt": "a", "stop": ["b"] * 17}, "stop", "invalid_value"),
    "no messages": (CHAT, {"messages": []}, "messages", "invalid_value"),
    "no prompt": (TEXT, {}, "prompt", "bad_prompt"),
    "log-probabilities of a gap": (TEXT, {"prompt": "a", "suffix": "b", "logprobs": 1}, "logprobs", "not_applicable"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "param", "code"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_by_name(server: Server, path: str, body: dict[str, Any], param: str, code: str) -> None:
    assert refused(server, path, body, param, code).startswith(param)
    assert refused(server, path, {**body, "stream": True}, param, code)


def test_what_is_no_request_is_refused(server: Server) -> None:
    for body in (b"", b"[]", b"{", b'{"a": 1, "a": 2}', b"\xff"):
        assert post(server, CHAT, body)[0] == 400
    assert send(server.http_port, "GET", CHAT)[0] == 405
    assert send(server.http_port, "POST", "/v1/embeddings", b"{}")[0] == 404
    assert refused(server, CHAT, {"model": "other", "messages": QUESTION}, "model", "model_not_found", 404)


def test_the_package_raises_its_own_errors(server: Server, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="nano", messages=QUESTION, temperature=5)
    assert (caught.value.param, caught.value.code) == ("temperature", "invalid_value")
    large = httpx.post(f"http://127.0.0.1:{server.http_port}{TEXT}", content=b" " * (9 * 2**20))
    assert large.status_code == 413 and large.json()["error"]["code"] == "too_large"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (CHAT, {"error": {"type": "server_error", "param": None, "code": "unsupported_version"}}),
        ("/v1/messages", {"type": "error", "error": {"type": "api_error"}}),
        ("/v2", {"error": "unsupported_version: only HTTP/1.1 and HTTP/1.0 are spoken here"}),
    ],
)
def test_what_no_endpoint_hears_of_is_refused_in_the_form_of_its_path(
    server: Server, path: str, expected: dict[str, Any]
) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.http_port), timeout=30)) as connection:
        connection.sendall(f"POST {path} HTTP/1.2\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        found = json.loads(answer.read())
    assert answer.status == 505
    if isinstance(found["error"], dict):
        assert "HTTP/1.1" in found["error"].pop("message")
    assert found == expected


@pytest.mark.parametrize(
    ("rest", "status", "code"),
    [
        ("a: b\r\n" * 500 + "\r\n", 431, "header_too_large"),
        ("a: " + "b" * 20_000 + "\r\n\r\n", 431, "header_too_large"),
        ("Content-Length: x\r\n\r\n", 400, "bad_request"),
        ("Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "bad_request"),
        (f"Content-Length: {9 * 2**20}\r\n\r\n", 413, "too_large"),
    ],
)
def test_a_head_that_cannot_be_read_is_refused_in_this_form(server: Server, rest: str, status: int, code: str) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.http_port), timeout=30)) as connection:
        connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\n{rest}".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        error = json.loads(answer.read())["error"]
    assert (answer.status, error["code"], error["param"]) == (status, code, None), error

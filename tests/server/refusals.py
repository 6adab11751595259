"""Requests that the server must refuse, over both protocols."""

from __future__ import annotations

from typing import Any

from tests.server.server import Server
from tests.server.wire import generate, over_grpc


def refused(server: Server, request: object, error_type: str, status: int = 400) -> str:
    """Send over HTTP; the answer must be `status` and of `error_type`. Returns the rest of the message."""
    found, body = generate(server.http_port, request)
    kind, _, message = str(body["error"]).partition(": ")
    assert (found, kind) == (status, error_type), body
    return message


def refused_over_grpc(server: Server, request: dict[str, Any], error_type: str, **more: Any) -> str:
    answers = over_grpc(server.grpc_port, request, **more)
    assert len(answers) == 1
    kind, _, message = str(answers[0]["error"]).partition(": ")
    assert kind == error_type, answers
    return message

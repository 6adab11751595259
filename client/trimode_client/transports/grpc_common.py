"""What both gRPC transports share: channel options, addresses, unwrapping messages and errors.

Opens no channel and waits for nothing.
"""

from __future__ import annotations

from typing import Any

import grpc

from ..errors import CancelledError, DeadlineError, TrimodeClientError, UnavailableError, server_error, unreachable
from .tensors import decode, is_final

CHANNEL_OPTIONS = (  # messages of any length, and never through a proxy
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)
CLOSING_SECONDS = 1.0  # for the server to close a stream after its last response; longer than a busy one takes

_HTTP_1 = ("http1.x", "Failed parsing HTTP/2")  # what gRPC calls an answer that is not gRPC


def target(url: str) -> str:
    """Return host:port of an address that may carry a scheme."""
    return url.removeprefix("grpc://").removeprefix("http://").rstrip("/")


def unwrap(message: Any) -> tuple[dict[str, Any], bool]:
    """Return the outputs of a ModelStreamInferResponse and whether it is the last.

    Raises:
        ServerError, UnavailableError: the message is an error.
    """
    if message.error_message:
        raise server_error(message.error_message)
    return decode(message.infer_response), is_final(message.infer_response)


def rpc_error(code: Any, details: str | None, url: str) -> TrimodeClientError:
    """Return the error for a call that failed."""
    text = details or str(code)
    if code is grpc.StatusCode.UNAVAILABLE and any(sign in text for sign in _HTTP_1):
        return UnavailableError(f"{url} speaks HTTP/1, not gRPC; gRPC is usually PORT+1, or choose the protocol http")
    if code is grpc.StatusCode.UNAVAILABLE:
        return unreachable(url, "gRPC", text)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineError("deadline_exceeded", text)
    if code is grpc.StatusCode.CANCELLED:
        return CancelledError("cancelled", text)
    return server_error(text, fallback_type=str(code.name).lower())

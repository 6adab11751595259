"""Shared by both gRPC transports: channel options, certificates, unwrapping messages and errors.

Opens no channel and waits for nothing.
"""

from __future__ import annotations

from typing import Any

import grpc
from trimode.api.tensors import MODES

from ..errors import (
    AddressError,
    CancelledError,
    DeadlineError,
    IncompleteError,
    InvalidRequestError,
    TlsError,
    TrimodeClientError,
    server_error,
    stated_error,
    unreachable,
)
from .base import modes_of
from .options import Connection
from .tensors import decode, is_final
from .tls import Tls, tls_words

CHANNEL_OPTIONS = (  # messages of any length, never through a proxy, and soon back at a server that starts again
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
)
CLOSING_SECONDS = 1.0  # for the server to close a stream after its last response; longer than a busy one takes

_HTTP_1 = ("http1.x", "Failed parsing HTTP/2")  # what gRPC calls an answer that is not gRPC
_CORE = "Internal error from Core"  # what its asyncio side may call a connection that broke
_TLS = ("handshake failed", "tsi_", "ssl_error", "peer name", "hostname verif")  # what it calls TLS that failed


def credentials(tls: Tls) -> grpc.ChannelCredentials:
    """Return gRPC's form of the certificates.

    Raises:
        TlsError: a file cannot be read or does not hold what it should.
    """
    tls.context()  # which says what is wrong with a file; gRPC does so at the first request, in its log
    authorities, key, certificates = tls.pem()
    return grpc.ssl_channel_credentials(authorities, key, certificates)


def metadata(connection: Connection) -> tuple[tuple[str, str], ...]:
    """Return the headers as gRPC takes them."""
    return tuple(connection.headers.items())


def unwrap(message: Any) -> tuple[dict[str, Any], bool]:
    """Return the outputs of a ModelStreamInferResponse and whether it is the last.

    Raises:
        ServerError, UnavailableError: the message is an error.
    """
    if message.error_message:
        raise server_error(message.error_message)
    return decode(message.infer_response), is_final(message.infer_response)


def modes_in(answer: Any) -> tuple[str, ...]:
    """Return the modes that a ModelConfigResponse says."""
    parameters = answer.config.parameters
    return modes_of(parameters[MODES].string_value if MODES in parameters else None)


def health_reason(exc: Any, url: str, timeout: float) -> str:
    """Return why a question for a server's state, which had `timeout` seconds, was not answered."""
    if exc.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{url} did not answer within {timeout:g} s"
    return str(rpc_error(exc, url))


def rpc_error(exc: Any, url: str, *, begun: bool = False) -> TrimodeClientError:
    """Return the error for a call that failed; `begun` says whether some of its answer had arrived."""
    code, text = exc.code(), exc.details() or str(exc.code())
    if (stated := stated_error(text)) is not None:
        return stated
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return _unavailable(text, url, begun=begun)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineError("deadline_exceeded", text)
        case grpc.StatusCode.CANCELLED:
            return CancelledError("cancelled", text)
        case grpc.StatusCode.UNIMPLEMENTED:
            return AddressError(f"{url} speaks gRPC, but serves no models as Triton does: {text}")
        case grpc.StatusCode.RESOURCE_EXHAUSTED if "larger than max" in text:
            return InvalidRequestError("too_large", text)
        case grpc.StatusCode.INTERNAL if _CORE in text:
            return _unavailable(text, url, begun=begun)
        case grpc.StatusCode.INTERNAL if "deserializ" in text:
            return IncompleteError(f"a response of the server cannot be read: {text}")
    return server_error(text, fallback_type=str(code.name).lower())


def _unavailable(text: str, url: str, *, begun: bool) -> TrimodeClientError:
    if any(sign in text for sign in _HTTP_1):
        hint = "gRPC is usually PORT+1, or choose the protocol http"
        return AddressError(f"{url} speaks HTTP/1, not gRPC; {hint}")
    if any(sign in text.lower() for sign in _TLS):
        return TlsError(f"{url} {tls_words(text)}")
    if begun:
        return IncompleteError(f"the connection broke before the last response: {text}")
    return unreachable(url, "gRPC", text)

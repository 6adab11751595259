"""What a gRPC call that failed becomes: the front's own words, and those of gRPC itself."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
import pytest
from trimode.errors import ERROR_TYPES
from trimode_client import (
    AddressError,
    CancelledError,
    DeadlineError,
    EngineError,
    IncompleteError,
    InvalidRequestError,
    OverloadedError,
    ServerError,
    TlsError,
    TrimodeClientError,
    UnavailableError,
)
from trimode_client.transports.grpc_common import health_reason, rpc_error, unwrap

from tests.support.fake_server import message

Code = grpc.StatusCode


@dataclass(frozen=True)
class Failed:
    """A call that failed."""

    status: grpc.StatusCode
    text: str = ""

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return self.text


@pytest.mark.parametrize(
    ("failed", "kind"),
    [
        (Failed(Code.UNAVAILABLE, "unavailable: the server is stopping"), UnavailableError),
        (Failed(Code.UNAVAILABLE, "overloaded: the queue is full"), OverloadedError),
        (Failed(Code.INTERNAL, "engine_failed: the backend ended"), EngineError),
        (Failed(Code.CANCELLED, "deadline_exceeded: the stream had no request for 300 s"), DeadlineError),
        (Failed(Code.NOT_FOUND, "not_found: there is no model x"), InvalidRequestError),
        (Failed(Code.UNAVAILABLE, "failed to connect to all addresses"), UnavailableError),
        (Failed(Code.UNAVAILABLE, "DNS resolution failed for x:1"), UnavailableError),
        (Failed(Code.UNAVAILABLE, "Failed parsing HTTP/2"), AddressError),
        (Failed(Code.UNAVAILABLE, "Tls handshake failed (TSI_PROTOCOL_FAILURE)"), TlsError),
        (Failed(Code.UNIMPLEMENTED, "unknown service"), AddressError),
        (Failed(Code.DEADLINE_EXCEEDED), DeadlineError),
        (Failed(Code.CANCELLED), CancelledError),
        (Failed(Code.RESOURCE_EXHAUSTED, "Received message larger than max (9 vs. 8)"), InvalidRequestError),
        (Failed(Code.RESOURCE_EXHAUSTED, "quota"), ServerError),
        (Failed(Code.INTERNAL, "Internal error from Core"), UnavailableError),
        (Failed(Code.INTERNAL, "Exception deserializing response!"), IncompleteError),
        (Failed(Code.UNAUTHENTICATED, "no key"), ServerError),
    ],
    ids=lambda value: value.text or value.status.name if isinstance(value, Failed) else "",
)
def test_a_failed_call_is_an_error_of_the_tree(failed: Failed, kind: type[TrimodeClientError]) -> None:
    assert type(rpc_error(failed, "host:1")) is kind


def test_the_words_of_the_front_are_kept_and_others_get_the_status_as_their_type() -> None:
    stated = rpc_error(Failed(Code.UNAVAILABLE, "unavailable: the server is stopping"), "host:1")
    assert str(stated) == "the server is stopping"
    assert str(rpc_error(Failed(Code.UNAUTHENTICATED, "no key"), "host:1")) == "unauthenticated: no key"


def test_a_connection_that_breaks_within_an_answer_makes_it_incomplete() -> None:
    error = rpc_error(Failed(Code.UNAVAILABLE, "Socket closed"), "host:1", begun=True)
    assert isinstance(error, IncompleteError)
    assert error.begun


def test_a_lost_backend_is_retryable_in_the_stream_and_as_a_status() -> None:
    lost = "engine_failed: the backend ended before the answer was complete"
    with pytest.raises(EngineError) as in_stream:
        unwrap(message(lost, final=True))
    assert in_stream.value.retryable
    assert rpc_error(Failed(Code.UNAVAILABLE, "Socket closed"), "host:1").retryable
    assert ERROR_TYPES["engine_failed"].retryable


def test_the_reason_of_a_silent_server_is_how_long_it_was_waited_for() -> None:
    assert (
        health_reason(Failed(Code.DEADLINE_EXCEEDED, "Deadline"), "host:1", 5.0) == "host:1 did not answer within 5 s"
    )

"""Gatekeeper: lets calls in by the API key in their metadata. Health is everybody's to ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import grpc

from ...errors import Refusal
from ..access.entry import Entry
from ..access.keys import API_KEY, AUTHORIZATION
from ..caller import FORWARDED_FOR

OPEN_CALLS = (
    *("/inference.GRPCInferenceService/ServerLive", "/inference.GRPCInferenceService/ServerReady"),
    *("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"),
)
"""Calls that need no key: probes have none."""
Handler = Any  # grpc.RpcMethodHandler or None; at run time it takes no type parameters
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]


def admit(entry: Entry, metadata: Iterable[tuple[str, str | bytes]] | None, peer: str = "") -> str:
    """Return who makes a call with this metadata from this address; see Entry.admit."""
    texts = [(key, value) for key, value in metadata or () if isinstance(value, str)]
    forwarded = [value for key, value in texts if key == FORWARDED_FOR]
    given = dict(texts)
    return entry.admit(given.get(AUTHORIZATION), given.get(API_KEY), peer, forwarded)


class Gatekeeper(grpc.aio.ServerInterceptor):
    """Refuses calls without a key before any of their messages is read."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        """Return what answers a call; None for one that is not served."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method in OPEN_CALLS:
            return handler
        try:
            admit(self._entry, handler_call_details.invocation_metadata)
        except Refusal as exc:
            return _refusing(handler, exc.on_the_wire())
        return handler


def _refusing(handler: grpc.RpcMethodHandler[Any, Any], text: str) -> grpc.RpcMethodHandler[Any, Any]:
    """Return a handler of the same kind that ends the call."""

    async def end(messages: object, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, text)
        return b""

    async def end_stream(messages: object, context: Any) -> AsyncIterator[bytes]:
        yield await end(messages, context)

    if handler.request_streaming:
        return grpc.stream_stream_rpc_method_handler(end_stream)
    return grpc.unary_stream_rpc_method_handler(end_stream) if handler.response_streaming else _unary(end)


def _unary(end: Callable[[object, Any], Awaitable[bytes]]) -> grpc.RpcMethodHandler[Any, Any]:
    return grpc.unary_unary_rpc_method_handler(end)

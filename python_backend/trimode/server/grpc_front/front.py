"""GrpcFront: the gRPC server that callers reach, with KServe's service and the standard health service.

Requests for answers go through a Relay. Questions about the server pass through; calls that administer it are refused.
Knows which calls there are, nothing of tensors.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, NoReturn
from urllib.parse import unquote

import grpc
from tritonclient.grpc import service_pb2 as pb

from ...errors import UNFORESEEN, Refusal, ServeError, TrimodeError
from ..access.entry import EVERYBODY, Entry
from ..error_answer import with_type
from ..serving import Limits, ServingState, check_model, not_serving, silent_error
from .connections import Connections, Peer, peer_in
from .gatekeeper import Gatekeeper, admit
from .health import SERVICE as HEALTH
from .health import Health
from .messages import parsed
from .relay import Relay
from .status import abort, abort_with

logger = logging.getLogger(__name__)

SERVICE = "inference.GRPCInferenceService"
QUESTIONS = ("ServerMetadata", "ModelMetadata", "ModelConfig", "ModelStatistics")
"""Calls that pass through while a backend serves."""
ADMINISTRATION = tuple(
    method.name
    for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    if method.name.startswith(("Repository", "SystemShared", "CudaShared", "Trace", "Log"))
)
"""Calls that change or reveal the server's insides; nobody makes them from outside."""
INSTEAD = "use ModelStreamInfer, since this model streams"

MOST_CONNECTIONS = 1024
MOST_STREAMS = 256
"""Calls of one connection at once; more wait for the first to end, as HTTP/2 has it."""
IDLE_CONNECTION_SECONDS = 600
IDLE_STREAM_SECONDS = 3600.0
HANDSHAKE_SECONDS = 20
KEEPALIVE_SECONDS, KEEPALIVE_ANSWER_SECONDS = 60, 20
"""How long a connection may be silent before it is asked for a sign of life, and how long it may take to give one."""
PING_SECONDS = 5
"""Callers may ping no more often; tritonclient's own keepalive has no shorter default."""
SWEEP_SECONDS = 1.0
HARD_LIMIT_FACTOR = 4
"""A message of up to so many times the limit is read and refused by name; gRPC itself ends the call of a larger one."""
LARGEST_OPTION = 2**31 - 1  # gRPC keeps its options in 32 bits
RECONNECT_MS = 100
CLOSE_SECONDS = 1.0  # for the last responses and errors to leave when the server ends
Unary = Callable[[bytes, Any], Awaitable[bytes]]


class GrpcFront:
    """Answers KServe's calls by the Triton at `address`, which is gRPC's name for it."""

    def __init__(self, address: str, state: ServingState, limits: Limits, entry: Entry = EVERYBODY) -> None:
        self.entry = entry
        self._address = address
        self._state = state
        self._limits = limits
        self.most_bytes = limits.body_bytes
        self._channel: grpc.aio.Channel | None = None
        self._relays: set[Relay] = set()

    async def connect(self) -> None:
        """Open a channel to a Triton that has just become ready; the one to its predecessor is closed."""
        old, self._channel = (
            self._channel,
            grpc.aio.insecure_channel(
                self._address,
                options=(
                    ("grpc.max_receive_message_length", -1),
                    ("grpc.max_send_message_length", -1),
                    ("grpc.initial_reconnect_backoff_ms", RECONNECT_MS),
                    ("grpc.max_reconnect_backoff_ms", RECONNECT_MS),
                    ("grpc.use_local_subchannel_pool", 1),  # a new connection, not the one to the predecessor
                ),
            ),
        )
        if old is not None:
            await old.close()

    def drain(self) -> None:
        """Close every stream on which nothing runs, and the others when nothing does any more."""
        for relay in self._relays:
            relay.close(not_serving(self._state))

    @property
    def running(self) -> int:
        """How many requests wait for their last response."""
        return sum(relay.running for relay in self._relays)

    def busy_peers(self) -> set[Peer]:
        """Return the callers' ends of connections on which requests run."""
        return {found for relay in self._relays if relay.running and (found := peer_in(relay.peer))}

    async def watch(self) -> None:
        """Look after streams until cancelled: end what is silent for too long."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for relay in tuple(self._relays):
                try:
                    relay.watch(now, IDLE_STREAM_SECONDS)
                except Exception:
                    logger.exception("a stream could not be looked after")

    async def aclose(self) -> None:
        """Close the connection to Triton."""
        if self._channel is not None:
            await self._channel.close()

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """Return what answers each call; messages come and go as bytes."""
        calls: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(self._stream),
            "ModelInfer": self._unary(self._infer),
            "ServerLive": self._unary(self._live),
            "ServerReady": self._unary(self._ready),
            "ModelReady": self._unary(self._model_ready),
        }
        calls |= {name: self._unary(self._question(name)) for name in QUESTIONS}
        calls |= {name: self._unary(self._administration(name)) for name in ADMINISTRATION}
        asked = Health(self._state, [SERVICE])
        health = {
            "Check": self._unary(asked.check),
            "Watch": grpc.unary_stream_rpc_method_handler(asked.watch),
        }
        return (
            grpc.method_handlers_generic_handler(SERVICE, calls),
            grpc.method_handlers_generic_handler(HEALTH, health),
        )

    async def _stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        caller = admit(self.entry, context.invocation_metadata(), address_of(context.peer()))
        relay = Relay(
            context, self._open_stream, self._state, self._limits, partial(self.entry.turnstile.enter, caller)
        )
        self._relays.add(relay)
        try:
            if self._state.stopping:
                relay.close(not_serving(self._state))
            await relay.serve(requests)
        finally:
            self._relays.discard(relay)

    def _open_stream(self) -> Any:
        assert self._channel is not None  # a Relay opens a stream only while a backend is alive
        return self._channel.stream_stream(f"/{SERVICE}/ModelStreamInfer")()

    def _unary(self, call: Unary) -> grpc.RpcMethodHandler[Any, Any]:
        async def answer(message: bytes, context: Any) -> bytes:
            try:
                return await call(message, context)
            except TrimodeError as exc:
                return await abort(context, exc)
            except grpc.aio.AbortError:
                raise
            except Exception:
                logger.exception("a call could not be answered")
                return await abort(context, TrimodeError(UNFORESEEN))

        return grpc.unary_unary_rpc_method_handler(answer)

    async def _live(self, message: bytes, context: Any) -> bytes:
        return serialized(pb.ServerLiveResponse(live=True))

    async def _ready(self, message: bytes, context: Any) -> bytes:
        return serialized(pb.ServerReadyResponse(ready=self._state.alive))

    async def _model_ready(self, message: bytes, context: Any) -> bytes:
        asked = parsed(pb.ModelReadyRequest, message)
        check_model(asked.name, asked.version)
        return serialized(pb.ModelReadyResponse(ready=self._state.alive))

    async def _infer(self, message: bytes, context: Any) -> bytes:
        asked = parsed(pb.ModelInferRequest, message)
        check_model(asked.model_name, asked.model_version)
        raise Refusal("not_applicable", "ModelInfer answers once; " + INSTEAD)

    def _question(self, name: str) -> Unary:
        kind = getattr(pb, f"{name}Request")

        async def ask(message: bytes, context: Any) -> bytes:
            asked = parsed(kind, message)
            if name == "ModelStatistics":
                if asked.name:  # none asks about every model
                    check_model(asked.name, asked.version)
            elif name.startswith("Model"):
                check_model(asked.name, asked.version)
            if not self._state.alive or self._channel is None:
                raise not_serving(self._state)
            call: Any = self._channel.unary_unary(f"/{SERVICE}/{name}")
            try:
                answer: bytes = await call(message, timeout=self._limits.silence_seconds)
            except grpc.aio.AioRpcError as exc:
                if exc.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise silent_error() from exc
                if exc.code() is grpc.StatusCode.UNAVAILABLE:  # nobody listens: its words name a private path
                    raise not_serving(self._state) from exc
                await abort_with(context, with_type(exc.details() or exc.code().name.lower()))
            return answer

        return ask

    def _administration(self, name: str) -> Unary:
        async def refuse(message: bytes, context: Any) -> NoReturn:
            raise Refusal("not_allowed", f"{name} administers the server, which nobody may do from outside")

        return refuse


def serialized(message: Any) -> bytes:
    """Return the bytes of a message."""
    made: bytes = message.SerializeToString()
    return made


def address_of(peer: str) -> str:
    """Return the caller's address without its port, of gRPC's name for it, such as `ipv4:10.0.0.7:51234`."""
    return unquote(peer.partition(":")[2].rpartition(":")[0]).strip("[]") or peer


@contextlib.asynccontextmanager
async def listen(front: GrpcFront, host: str, port: int, most: int = MOST_CONNECTIONS) -> AsyncIterator[None]:
    """Answer gRPC on `host`:`port` inside the block; at most `most` connections are open at once.

    Raises:
        ServeError: the port is taken.
    """
    server = grpc.aio.server(
        interceptors=(Gatekeeper(front.entry),),
        options=(
            ("grpc.max_receive_message_length", min(HARD_LIMIT_FACTOR * front.most_bytes, LARGEST_OPTION)),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", MOST_STREAMS),
            ("grpc.max_allowed_incoming_connections", most),
            ("grpc.max_connection_idle_ms", IDLE_CONNECTION_SECONDS * 1000),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS * 1000),
            ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_ANSWER_SECONDS * 1000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", PING_SECONDS * 1000),
            ("grpc.so_reuseport", 0),  # a port that is taken is an error
        ),
    )
    server.add_generic_rpc_handlers(front.handlers())
    try:
        if front.entry.tls is None:
            server.add_insecure_port(f"{host}:{port}")
        else:
            server.add_secure_port(f"{host}:{port}", front.entry.tls.credentials())
    except RuntimeError as exc:
        raise ServeError(f"gRPC cannot listen on {host}, port {port}: {exc}") from exc
    await server.start()
    connections = Connections(port, most, front.busy_peers)
    watching = [asyncio.create_task(watch) for watch in (front.watch(), connections.watch())]
    try:
        yield
    finally:
        for task in watching:
            task.cancel()
        await server.stop(grace=CLOSE_SECONDS)
        await front.aclose()

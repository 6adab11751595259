"""gRPC for plain functions: one ModelStreamInfer stream for each request, so that cancelling it cancels nothing else.

A reader thread moves messages into a queue, because a blocking gRPC iterator takes no time limit for each message.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ..errors import IncompleteError
from .base import Health
from .grpc_common import (
    CHANNEL_OPTIONS,
    CLOSING_SECONDS,
    credentials,
    health_reason,
    metadata,
    modes_in,
    rpc_error,
    unwrap,
)
from .options import Connection
from .tensors import encode
from .time_limits import TimeLimits


class GrpcTransport:
    """One channel; threads may share it."""

    def __init__(self, connection: Connection) -> None:
        self._url = str(connection.address)
        self._model = connection.model
        self._metadata = metadata(connection)
        target = connection.address.host_port
        if connection.address.secure:
            self._channel = grpc.secure_channel(target, credentials(connection.tls), options=CHANNEL_OPTIONS)
        else:
            self._channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def responses(self, fields: Mapping[str, Any], limits: TimeLimits) -> Generator[dict[str, Any], None, None]:
        """Send one request and yield its responses; see Transport."""
        call = self._stub.ModelStreamInfer(iter([encode(self._model, fields)]), metadata=self._metadata)
        arrived: SimpleQueue[Any] = SimpleQueue()
        reader = threading.Thread(target=_read, args=(call, arrived), name="trimode-grpc-reader", daemon=True)
        reader.start()
        begun, message = False, None
        try:
            while True:
                try:
                    message = arrived.get(timeout=limits.seconds_left())
                except Empty:
                    raise limits.error() from None
                if isinstance(message, grpc.RpcError):
                    raise rpc_error(message, self._url, begun=begun) from None
                if isinstance(message, Exception):
                    raise message
                if message is None:
                    raise IncompleteError("the server closed the stream before its last response", begun=begun)
                begun = True
                outputs, last = unwrap(message)
                if outputs:
                    yield outputs
                if last:
                    with suppress(Empty):
                        arrived.get(timeout=CLOSING_SECONDS)
                    return
        finally:
            call.cancel()
            reader.join(CLOSING_SECONDS)
            del call, arrived, message  # the traceback of an error keeps this frame; see _read

    def health(self, timeout: float) -> Health:
        """Ask for the state; see Transport."""
        ends = time.monotonic() + timeout

        def asked() -> dict[str, Any]:
            return {"timeout": max(0.0, ends - time.monotonic()), "metadata": self._metadata}

        try:
            live = self._stub.ServerLive(service_pb2.ServerLiveRequest(), **asked()).live
            ready = self._stub.ServerReady(service_pb2.ServerReadyRequest(), **asked()).ready
            model = service_pb2.ModelReadyRequest(name=self._model)
            model_ready = self._stub.ModelReady(model, **asked()).ready
        except grpc.RpcError as exc:
            return Health(False, False, False, health_reason(exc, self._url, timeout))
        modes: tuple[str, ...] = ()
        with suppress(grpc.RpcError):  # a server that ends just now, or one that does not say
            if model_ready:
                modes = modes_in(self._stub.ModelConfig(service_pb2.ModelConfigRequest(name=self._model), **asked()))
        return Health.from_answers(self._url, live, ready, model_ready, modes=modes)

    def close(self) -> None:
        """Close the channel; requests in flight are cancelled."""
        self._channel.close()


def _read(call: Any, arrived: SimpleQueue[Any]) -> None:
    """Move messages into a queue, then None or the error that ended them.

    gRPC raises the call itself, whose traceback leads back to it: left so, the call is freed as the program ends, where
    it may wait forever for a lock of gRPC's thread, which is stopped by then.
    """
    try:
        for message in call:
            arrived.put(message)
        arrived.put(None)
    except Exception as exc:  # anything: the other thread waits
        arrived.put(exc.with_traceback(None))

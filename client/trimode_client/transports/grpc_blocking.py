"""gRPC for plain functions: one ModelStreamInfer stream for each request, so that cancelling it cancels nothing else.

A reader thread moves messages into a queue, because a blocking gRPC iterator takes no time limit for each message.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ..errors import IncompleteError
from .base import Health
from .grpc_common import CHANNEL_OPTIONS, CLOSING_SECONDS, rpc_error, target, unwrap
from .tensors import encode
from .time_limits import TimeLimits


class GrpcTransport:
    """One channel; threads may share it."""

    def __init__(self, url: str, model: str) -> None:
        self._url = url
        self._model = model
        self._channel = grpc.insecure_channel(target(url), options=CHANNEL_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def responses(self, fields: Mapping[str, Any], limits: TimeLimits) -> Generator[dict[str, Any], None, None]:
        """Send one request and yield its responses; see Transport."""
        call = self._stub.ModelStreamInfer(iter([encode(self._model, fields)]))
        arrived: SimpleQueue[Any] = SimpleQueue()
        threading.Thread(target=_read, args=(call, arrived), name="trimode-grpc-reader", daemon=True).start()
        try:
            while True:
                try:
                    message = arrived.get(timeout=limits.seconds_left())
                except Empty:
                    raise limits.error() from None
                if isinstance(message, grpc.RpcError):
                    raise rpc_error(message.code(), message.details(), self._url) from None
                if message is None:
                    raise IncompleteError("the server closed the stream before its last response")
                outputs, last = unwrap(message)
                if outputs:
                    yield outputs
                if last:
                    with suppress(Empty):
                        arrived.get(timeout=CLOSING_SECONDS)
                    return
        finally:
            call.cancel()

    def health(self, timeout: float) -> Health:
        """Ask for the state; see Transport."""
        try:
            live = self._stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=timeout).live
            ready = self._stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=timeout).ready
            model = service_pb2.ModelReadyRequest(name=self._model)
            return Health.from_answers(self._url, live, ready, self._stub.ModelReady(model, timeout=timeout).ready)
        except grpc.RpcError as exc:
            return Health(False, False, False, str(rpc_error(exc.code(), exc.details(), self._url)))

    def close(self) -> None:
        """Close the channel; requests in flight are cancelled."""
        self._channel.close()


def _read(call: Any, arrived: SimpleQueue[Any]) -> None:
    try:
        for message in call:
            arrived.put(message)
        arrived.put(None)
    except grpc.RpcError as exc:
        arrived.put(exc)

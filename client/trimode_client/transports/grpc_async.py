"""gRPC for asyncio: one ModelStreamInfer stream for each request, so that cancelling it cancels nothing else.

Knows nothing of fields and outputs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
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


class AsyncGrpcTransport:
    """One channel, made inside the running event loop at first use."""

    def __init__(self, connection: Connection) -> None:
        self._url = str(connection.address)
        self._model = connection.model
        self._metadata = metadata(connection)
        self._target = connection.address.host_port
        self._credentials = credentials(connection.tls) if connection.address.secure else None
        self._channel: Any = None

    @property
    def _stub(self) -> Any:
        if self._channel is None:
            if self._credentials is None:
                self._channel = grpc.aio.insecure_channel(self._target, options=CHANNEL_OPTIONS)
            else:
                self._channel = grpc.aio.secure_channel(self._target, self._credentials, options=CHANNEL_OPTIONS)
        return service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def responses(self, fields: Mapping[str, Any], limits: TimeLimits) -> AsyncGenerator[dict[str, Any], None]:
        """Send one request and yield its responses; see AsyncTransport."""
        call = self._stub.ModelStreamInfer(iter([encode(self._model, fields)]), metadata=self._metadata)
        begun = False
        try:
            while True:
                left = limits.seconds_left()  # first: where it raises, a read would never be awaited
                async with asyncio.timeout(left):
                    message = await call.read()
                if message is grpc.aio.EOF:
                    raise IncompleteError("the server closed the stream before its last response", begun=begun)
                begun = True
                outputs, last = unwrap(message)
                if outputs:
                    yield outputs
                if last:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(CLOSING_SECONDS):
                            await call.read()
                    return
        except TimeoutError:
            raise limits.error() from None
        except grpc.aio.AioRpcError as exc:
            raise rpc_error(exc, self._url, begun=begun) from None
        finally:
            call.cancel()

    async def health(self, timeout: float) -> Health:
        """Ask for the state; see AsyncTransport."""
        stub, ends = self._stub, time.monotonic() + timeout

        def asked() -> dict[str, Any]:
            return {"timeout": max(0.0, ends - time.monotonic()), "metadata": self._metadata}

        try:
            live = await stub.ServerLive(service_pb2.ServerLiveRequest(), **asked())
            ready = await stub.ServerReady(service_pb2.ServerReadyRequest(), **asked())
            model = await stub.ModelReady(service_pb2.ModelReadyRequest(name=self._model), **asked())
        except grpc.aio.AioRpcError as exc:
            return Health(False, False, False, health_reason(exc, self._url, timeout))
        modes: tuple[str, ...] = ()
        with suppress(grpc.aio.AioRpcError):  # a server that ends just now, or one that does not say
            if model.ready:
                modes = modes_in(await stub.ModelConfig(service_pb2.ModelConfigRequest(name=self._model), **asked()))
        return Health.from_answers(self._url, live.live, ready.ready, model.ready, modes=modes)

    async def close(self) -> None:
        """Close the channel; requests in flight are cancelled."""
        if self._channel is not None:
            await self._channel.close()

"""gRPC for asyncio: one ModelStreamInfer stream for each request, so that cancelling it cancels nothing else.

Knows nothing of fields and outputs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ..errors import IncompleteError
from .base import Health
from .grpc_common import CHANNEL_OPTIONS, CLOSING_SECONDS, rpc_error, target, unwrap
from .tensors import encode
from .time_limits import TimeLimits


class AsyncGrpcTransport:
    """One channel, made inside the running event loop at first use."""

    def __init__(self, url: str, model: str) -> None:
        self._url = url
        self._model = model
        self._channel: Any = None

    @property
    def _stub(self) -> Any:
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(target(self._url), options=CHANNEL_OPTIONS)
        return service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def responses(self, fields: Mapping[str, Any], limits: TimeLimits) -> AsyncGenerator[dict[str, Any], None]:
        """Send one request and yield its responses; see AsyncTransport."""
        call = self._stub.ModelStreamInfer(iter([encode(self._model, fields)]))
        try:
            while True:
                message = await asyncio.wait_for(call.read(), limits.seconds_left())
                if message is grpc.aio.EOF:
                    raise IncompleteError("the server closed the stream before its last response")
                outputs, last = unwrap(message)
                if outputs:
                    yield outputs
                if last:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(call.read(), CLOSING_SECONDS)
                    return
        except TimeoutError:
            raise limits.error() from None
        except grpc.aio.AioRpcError as exc:
            raise rpc_error(exc.code(), exc.details(), self._url) from None
        finally:
            call.cancel()

    async def health(self, timeout: float) -> Health:
        """Ask for the state; see AsyncTransport."""
        stub = self._stub
        try:
            live = await stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=timeout)
            ready = await stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=timeout)
            model = await stub.ModelReady(service_pb2.ModelReadyRequest(name=self._model), timeout=timeout)
        except grpc.aio.AioRpcError as exc:
            return Health(False, False, False, str(rpc_error(exc.code(), exc.details(), self._url)))
        return Health.from_answers(self._url, live.live, ready.ready, model.ready)

    async def close(self) -> None:
        """Close the channel; requests in flight are cancelled."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

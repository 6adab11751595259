"""The standard gRPC health service (grpc.health.v1): what probes and load balancers ask. Knows the server's state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

from grpc_health.v1 import health_pb2

from ...errors import Refusal, shorten
from ..serving import ServingState
from .messages import parsed

SERVICE = "grpc.health.v1.Health"
POLL_SECONDS = 0.5  # between looks whether the state has changed, for those who watch it


class Health:
    """Answers for the whole server, "", and for `services`."""

    def __init__(self, state: ServingState, services: Collection[str]) -> None:
        self._state = state
        self._services = ("", *services)

    async def check(self, message: bytes) -> bytes:
        """Say once whether requests are taken.

        Raises:
            Refusal: the service that is asked about is none of this server's.
        """
        service = parsed(health_pb2.HealthCheckRequest, message).service
        if service not in self._services:
            raise Refusal("not_found", f"there is no service {shorten(service)}")
        return self._response()

    async def watch(self, message: bytes) -> AsyncIterator[bytes]:
        """Say it now, and again whenever it changes, until the server ends."""
        known = parsed(health_pb2.HealthCheckRequest, message).service in self._services
        shown = None
        while True:
            stopping = self._state.stopping  # looked at first, so that the last state is always said
            now = self._response() if known else _response("SERVICE_UNKNOWN")
            if now != shown:
                yield now
                shown = now
            if stopping:
                return
            await asyncio.sleep(POLL_SECONDS)

    def _response(self) -> bytes:
        return _response("SERVING" if self._state.alive else "NOT_SERVING")


def _response(status: str) -> bytes:
    kind = health_pb2.HealthCheckResponse
    made: bytes = kind(status=kind.ServingStatus.Value(status)).SerializeToString()
    return made

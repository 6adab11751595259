"""How requests travel: one file a protocol and concurrency style, each a generator of responses.

A transport knows addresses, sockets and time limits; a response is a mapping of output name to Python value.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from .time_limits import Patience

Wire = Literal["grpc", "http"]
DEFAULT_URLS: dict[str, str] = {"grpc": "localhost:8001", "http": "localhost:8000"}


@dataclass(frozen=True)
class Health:
    """What the server says of itself: the process is up, all is loaded, this model takes requests; else why not."""

    live: bool
    ready: bool
    model_ready: bool
    reason: str = ""

    @classmethod
    def told(cls, url: str, live: bool, ready: bool, model_ready: bool, *, reason: str = "") -> Health:
        """Return what the server at `url` answered; `reason` is why it did not answer all."""
        if not (reason or (live and ready and model_ready)):
            reason = f"the {'model' if ready else 'server'} at {url} is not ready"
        return cls(live, ready, model_ready, reason)

    @property
    def ok(self) -> bool:
        """Whether requests can be sent."""
        return self.live and self.ready and self.model_ready


class Transport(Protocol):
    """The blocking side. Closing the generator cancels the request."""

    def responses(self, fields: Mapping[str, Any], patience: Patience) -> Generator[dict[str, Any], None, None]:
        """Send one request and yield its responses."""

    def health(self, timeout: float) -> Health:
        """Ask for the state; an address where nobody answers is not live."""

    def close(self) -> None:
        """Drop the connections."""


class AsyncTransport(Protocol):
    """The asyncio side. Closing the generator cancels the request."""

    def responses(self, fields: Mapping[str, Any], patience: Patience) -> AsyncGenerator[dict[str, Any], None]:
        """Send one request and yield its responses."""

    async def health(self, timeout: float) -> Health:
        """Ask for the state; an address where nobody answers is not live."""

    async def close(self) -> None:
        """Drop the connections."""


def open_transport(protocol: Wire, url: str | None, model: str) -> Transport:
    """Return the blocking transport for `protocol`; the libraries behind the others are not imported."""
    if _known(protocol) == "grpc":
        from .grpc_blocking import GrpcTransport

        return GrpcTransport(url or DEFAULT_URLS["grpc"], model)
    from .http_blocking import HttpTransport

    return HttpTransport(url or DEFAULT_URLS["http"], model)


def open_async_transport(protocol: Wire, url: str | None, model: str) -> AsyncTransport:
    """Return the asyncio transport for `protocol`."""
    if _known(protocol) == "grpc":
        from .grpc_async import AsyncGrpcTransport

        return AsyncGrpcTransport(url or DEFAULT_URLS["grpc"], model)
    from .http_async import AsyncHttpTransport

    return AsyncHttpTransport(url or DEFAULT_URLS["http"], model)


def _known(protocol: str) -> str:
    if protocol not in DEFAULT_URLS:
        raise ValueError(f"protocol must be grpc or http, got {protocol!r}")
    return protocol

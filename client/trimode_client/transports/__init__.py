"""How requests travel: a blocking and an asyncio transport for each protocol; here one is opened.

A transport knows addresses, sockets and time limits; a response is a mapping of output name to Python value.
"""

from __future__ import annotations

from .base import AsyncTransport, Health, Transport, Wire
from .time_limits import TimeLimits

__all__ = [
    "DEFAULT_URLS",
    "AsyncTransport",
    "Health",
    "TimeLimits",
    "Transport",
    "Wire",
    "open_async_transport",
    "open_transport",
]

DEFAULT_URLS: dict[str, str] = {"grpc": "localhost:8001", "http": "localhost:8000"}


def open_transport(protocol: Wire, url: str | None, model: str) -> Transport:
    """Return the blocking transport for `protocol`; the libraries of the other transports are not imported."""
    if _known(protocol) == "grpc":
        from .grpc_blocking import GrpcTransport

        return GrpcTransport(url or DEFAULT_URLS["grpc"], model)
    from .http import HttpTransport

    return HttpTransport(url or DEFAULT_URLS["http"], model)


def open_async_transport(protocol: Wire, url: str | None, model: str) -> AsyncTransport:
    """Return the asyncio transport for `protocol`."""
    if _known(protocol) == "grpc":
        from .grpc_async import AsyncGrpcTransport

        return AsyncGrpcTransport(url or DEFAULT_URLS["grpc"], model)
    from .http import AsyncHttpTransport

    return AsyncHttpTransport(url or DEFAULT_URLS["http"], model)


def _known(protocol: str) -> str:
    if protocol not in DEFAULT_URLS:
        raise ValueError(f"protocol must be {' or '.join(DEFAULT_URLS)}, got {protocol!r}")
    return protocol

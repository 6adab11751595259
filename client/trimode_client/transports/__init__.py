"""How requests travel: a blocking and an asyncio transport for each protocol; here one is opened.

A transport knows addresses, sockets and time limits; a response is a mapping of output name to Python value.
"""

from __future__ import annotations

from .base import AsyncTransport, Health, Transport, Wire
from .options import Options, Settings
from .retrying import AsyncRetryingTransport, RetryingTransport
from .time_limits import TimeLimits
from .tls import Tls

__all__ = [
    "AsyncTransport",
    "Health",
    "Options",
    "Settings",
    "TimeLimits",
    "Tls",
    "Transport",
    "Wire",
    "open_async_transport",
    "open_transport",
]


def open_transport(url: str | None, protocol: Wire | None, settings: Settings) -> Transport:
    """Return the blocking transport for an address; the libraries of the other transports are not imported.

    Raises:
        AddressError, TlsError, InvalidRequestError: the address, a certificate or a header is wrong.
    """
    connection = settings.connection(url, protocol)
    if connection.address.protocol == "grpc":
        from .grpc_blocking import GrpcTransport

        return RetryingTransport(GrpcTransport(connection), settings.retries)
    from .http import HttpTransport

    return RetryingTransport(HttpTransport(connection), settings.retries)


def open_async_transport(url: str | None, protocol: Wire | None, settings: Settings) -> AsyncTransport:
    """Return the asyncio transport for an address, as `open_transport` does."""
    connection = settings.connection(url, protocol)
    if connection.address.protocol == "grpc":
        from .grpc_async import AsyncGrpcTransport

        return AsyncRetryingTransport(AsyncGrpcTransport(connection), settings.retries)
    from .http import AsyncHttpTransport

    return AsyncRetryingTransport(AsyncHttpTransport(connection), settings.retries)

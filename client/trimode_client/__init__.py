"""The client: SDK (Client, AsyncClient) and the `trimode` command line."""

from .async_client import AsyncClient, AsyncStream
from .client import Client, Stream
from .errors import (
    CancelledError,
    DeadlineError,
    EngineError,
    IncompleteError,
    InvalidRequestError,
    OverloadedError,
    PromptTooLongError,
    ServerError,
    StalledError,
    TrimodeClientError,
    UnavailableError,
)
from .request import KNOBS, Knobs
from .result import Completion, Piece
from .transports import Health

__all__ = [
    "KNOBS",
    "AsyncClient",
    "AsyncStream",
    "CancelledError",
    "Client",
    "Completion",
    "DeadlineError",
    "EngineError",
    "Health",
    "IncompleteError",
    "InvalidRequestError",
    "Knobs",
    "OverloadedError",
    "Piece",
    "PromptTooLongError",
    "ServerError",
    "StalledError",
    "Stream",
    "TrimodeClientError",
    "UnavailableError",
]

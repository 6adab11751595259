"""The client: the SDK (Client, AsyncClient) and the `trimode` command line. Here are all of its public names."""

from trimode.api.answer import Candidate, Edit

from .async_client import AsyncClient, AsyncStream
from .client import Client, Stream
from .errors import (
    AddressError,
    CancelledError,
    ClosedError,
    DeadlineError,
    EngineError,
    IncompleteError,
    InvalidRequestError,
    OverloadedError,
    PromptTooLongError,
    RateLimitedError,
    ServerError,
    StalledError,
    TlsError,
    TrimodeClientError,
    UnavailableError,
)
from .images import Image
from .knobs import KNOBS, Knobs
from .request import Message, Segment
from .result import Completion, Piece
from .transports import Health, Options, Tls

__all__ = [
    "KNOBS",
    "AddressError",
    "AsyncClient",
    "AsyncStream",
    "CancelledError",
    "Candidate",
    "Client",
    "ClosedError",
    "Completion",
    "DeadlineError",
    "Edit",
    "EngineError",
    "Health",
    "Image",
    "IncompleteError",
    "InvalidRequestError",
    "Knobs",
    "Message",
    "Options",
    "OverloadedError",
    "Piece",
    "PromptTooLongError",
    "RateLimitedError",
    "Segment",
    "ServerError",
    "StalledError",
    "Stream",
    "Tls",
    "TlsError",
    "TrimodeClientError",
    "UnavailableError",
]

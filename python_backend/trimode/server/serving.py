"""Shared by the HTTP and the gRPC face of the server: limits of a request, the server's state, and errors about it.

Knows no protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ..api.tensors import MAX_ID_CHARACTERS
from ..errors import EngineError, Refusal, RequestError, TrimodeError
from .http_front.bodies import Bodies

LOST = EngineError("the backend ended before the answer was complete; it is being replaced, send the request again")
CUT = EngineError("the server stopped before the answer was complete")


class ServingState(Protocol):
    """The supervisor's state, as far as the faces need it."""

    @property
    def alive(self) -> bool:
        """Whether requests are taken."""

    @property
    def stopping(self) -> bool:
        """Whether the server is ending in order."""


@dataclass(frozen=True)
class Limits:
    """Limits of one exchange.

    Attributes:
        body_bytes: size of the largest body over HTTP, and of the largest message over gRPC.
        upload_seconds: how long a caller may take to send its body, or a message.
        silence_seconds: the longest pause before and within the backend's answer.
        bodies: those that are being read, messages over gRPC too, and how much they may hold together.
    """

    body_bytes: int = 8 * 2**20
    upload_seconds: float = 60.0
    silence_seconds: float = 300.0
    bodies: Bodies = field(default_factory=Bodies)


def check_id(request_id: object) -> None:
    """Refuse an id that responses could not carry: Triton cuts it at a NUL.

    Raises:
        RequestError: it is no text, too long, or has a NUL.
    """
    if not isinstance(request_id, str) or len(request_id) > MAX_ID_CHARACTERS or "\0" in request_id:
        raise RequestError("id", f"must be a string of at most {MAX_ID_CHARACTERS} characters, none NUL", request_id)


def not_serving(state: ServingState) -> Refusal:
    """Return the error for callers while no backend serves."""
    return Refusal("unavailable", f"the server {'is stopping' if state.stopping else 'is starting, try again'}")


def lost_error(state: ServingState) -> TrimodeError:
    """Return the error for callers whose answer the backend did not finish."""
    return CUT if state.stopping else LOST


def silent_error() -> Refusal:
    """Return the error for a backend that was silent for longer than allowed."""
    return Refusal("deadline_exceeded", "the backend was silent for too long")

"""Every error that the client raises on purpose, in one tree; an error of the server keeps its stable `error_type`.

TrimodeClientError                     retryable
├── ServerError(error_type, message)   as the table says   the server answered with an error
│   ├── InvalidRequestError            no                  the request is wrong; also raised before anything is sent
│   │   └── PromptTooLongError         no                  prompt and answer do not fit the model's capacity
│   ├── OverloadedError                yes                 the queue is full
│   │   └── RateLimitedError           yes                 the caller has reached a limit of its own, see `retry_after`
│   ├── CancelledError                 no                  the request was cancelled
│   ├── DeadlineError                  no                  the overall time limit passed, on the server or here
│   └── EngineError                    yes                 the engine could not run a pass
├── UnavailableError                   yes                 nobody answers at this address, or the model is not ready
│   ├── AddressError                   no                  it is no address, or something else answers there
│   └── TlsError                       no                  a certificate is refused or unreadable, or there is no TLS
├── StalledError                       yes                 no response arrived within the inactivity limit
├── IncompleteError                    yes                 the answer broke off, or the client cannot read it
└── ClosedError                        no                  the client was closed, or belongs to another event loop

The table is trimode.errors.ERROR_TYPES: it decides which class an `error_type` has, and whether to try again.
"""

from __future__ import annotations

import json
import re
import time
from email.utils import parsedate_to_datetime

from trimode.errors import ERROR_TYPES, Outcome, seconds_to_wait

_TYPED = r"([a-z][a-z0-9_]*): "


class TrimodeClientError(Exception):
    """Base of all; `retry_after` is how many seconds the server asks to wait before the request is sent again."""

    retry_after: float | None = None

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed when it is sent again; sending it again changes nothing on a server."""
        return False


class ServerError(TrimodeClientError):
    """The server's answer: `error_type` is for programs, `message` for people.

    A type that the table does not have, such as a proxy's http_502, is not retryable.
    """

    def __init__(self, error_type: str, message: str) -> None:
        self.error_type = error_type
        self.message = message
        super().__init__(f"{error_type}: {message}")

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed when it is sent again."""
        row = ERROR_TYPES.get(self.error_type)
        return row is not None and row.retryable


class InvalidRequestError(ServerError):
    """The request has an unknown field, a value out of range, or fields that do not go together."""


class PromptTooLongError(InvalidRequestError):
    """The prompt and the answer asked for do not fit the model's capacity."""


class OverloadedError(ServerError):
    """The server's queue is full; try again later or elsewhere."""


class RateLimitedError(OverloadedError):
    """The caller's own limit of requests or tokens is reached; `retry_after` says for how many seconds."""


class CancelledError(ServerError):
    """The request was cancelled."""


class DeadlineError(ServerError):
    """The overall time limit passed before the answer was complete."""


class EngineError(ServerError):
    """The server's engine could not run a pass."""


class UnavailableError(TrimodeClientError):
    """Nobody answers at this address, or the model is not ready."""

    @property
    def retryable(self) -> bool:
        """True: a server that starts, or is started again, will answer."""
        return ERROR_TYPES["unavailable"].retryable


class AddressError(UnavailableError):
    """The address cannot be read or contradicts an argument, or a server of another kind answers there."""

    @property
    def retryable(self) -> bool:
        """False: the address must be corrected."""
        return False


class TlsError(UnavailableError):
    """A certificate cannot be read, one side refuses the other's, or the other side does not speak TLS."""

    @property
    def retryable(self) -> bool:
        """False: the certificates must be corrected."""
        return False


class StalledError(TrimodeClientError):
    """No response arrived within the inactivity limit: the server is stuck or gone."""

    @property
    def retryable(self) -> bool:
        """True: a server that is stuck is started again by its supervisor."""
        return True


class IncompleteError(TrimodeClientError):
    """The answer broke off before its last response, or the client cannot read it.

    `begun` is False if the connection broke before any of the answer came.
    """

    def __init__(self, message: str, *, begun: bool = True) -> None:
        self.begun = begun
        super().__init__(message)

    @property
    def retryable(self) -> bool:
        """True: an answer breaks off when the server ends. An answer that cannot be read will probably stay so."""
        return True


class ClosedError(TrimodeClientError):
    """The client was closed, or it belongs to another event loop."""


_OF_TYPE: dict[str, type[ServerError]] = {
    "prompt_too_long": PromptTooLongError,
    "engine_failed": EngineError,
    "rate_limited": RateLimitedError,
}
_OF_OUTCOME: dict[Outcome, type[ServerError]] = {
    "invalid": InvalidRequestError,
    "overloaded": OverloadedError,
    "cancelled": CancelledError,
    "deadline": DeadlineError,
    "error": ServerError,
}


def typed_error(error_type: str, message: str) -> TrimodeClientError:
    """Return the error for one `error_type`: a ServerError for a type that the table does not have."""
    if error_type == "unavailable":
        return UnavailableError(message)
    row = ERROR_TYPES.get(error_type)
    kind = ServerError if row is None else _OF_TYPE.get(row.name, _OF_OUTCOME[row.outcome])
    error = kind(error_type, message)
    error.retry_after = seconds_to_wait(message)
    return error


def server_error(text: str, fallback_type: str = "triton") -> TrimodeClientError:
    """Return the error for `text`, "error_type: message" as the server sends it, perhaps wrapped by Triton.

    A text without a type, one of Triton's own, gets `fallback_type`.
    """
    typed = re.match(_TYPED, text)
    if typed is None:  # Triton may have put its own words before a type of the table
        typed = next((m for m in re.finditer(rf"(?<=[\s'\"]){_TYPED}", text) if m[1] in ERROR_TYPES), None)
    return ServerError(fallback_type, text) if typed is None else typed_error(typed[1], text[typed.end() :])


def stated_error(text: str) -> TrimodeClientError | None:
    """Return the error that `text` states as "error_type: message" with a type of the table; None if it states none."""
    typed = re.match(_TYPED, text)
    return typed_error(typed[1], text[typed.end() :]) if typed and typed[1] in ERROR_TYPES else None


def http_error(status: int, body: bytes, retry_after: str | None = None) -> TrimodeClientError:
    """Return the error for an HTTP answer other than 200: JSON, one event of a stream, or plain text.

    `retry_after` is the answer's header of that name.
    """
    text = body.decode("utf-8", errors="replace").strip()
    try:
        parsed = json.loads(text.removeprefix("data:"))
    except ValueError:
        parsed = None
    if isinstance(parsed, dict) and isinstance(parsed.get("error"), str):
        text = parsed["error"]
    error = server_error(text or "no explanation was given", fallback_type=f"http_{status}")
    if (stated := _seconds(retry_after)) is not None:
        error.retry_after = stated
    return error


def _seconds(retry_after: str | None) -> float | None:
    """Return how many seconds a Retry-After header asks to wait: it holds seconds or a date."""
    if retry_after is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", retry_after.strip()):
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def unreachable(url: str, protocol: str, cause: object) -> UnavailableError:
    """Return the error for an address where nobody listens, with what may be wrong."""
    hint = "is `make serve` running? another address is named with --url or TRIMODE_URL"
    return UnavailableError(f"nobody answers at {url} ({protocol}): {cause}; {hint}")

"""Every error this project raises on purpose, in one tree, and what each type of error means to whoever receives it.

TrimodeError                  error_type                 who is at fault
├── RequestError              invalid_value …            the caller: names field, limit and the value given
│   └── PromptTooLongError    prompt_too_long            the caller: prompt and answer do not fit the capacity
├── Refusal                   too_large …                the caller, or a server that is not ready: the front answers
├── OverloadedError           overloaded                 nobody: the queue is full, try again
├── CancelledError            cancelled                  the caller went away
├── DeadlineError             deadline_exceeded          the request's own time limit passed
├── EngineError               engine_failed              the engine could not run a pass
│   └── LostError             engine_failed              the backend ended the connection before its answer was complete
├── BundleError               bad_bundle                 the bundle on disk is missing, broken or of another build
├── CheckpointError           bad_checkpoint             the checkpoint cannot be converted
├── ConfigError               bad_config                 model.yaml or an environment variable
└── ServeError                serve_failed               the server's process could not be started or kept up
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

TritonCode = Literal["INVALID_ARG", "NOT_FOUND", "UNSUPPORTED", "UNAVAILABLE", "CANCELLED", "INTERNAL"]
Outcome = Literal["invalid", "overloaded", "cancelled", "deadline", "error"]


@dataclass(frozen=True)
class ErrorType:
    """What one stable `error_type` stands for on every way out of the server.

    Attributes:
        name: the machine-readable word in front of the message.
        http_status: the status of an HTTP answer.
        triton_code: the name of the code in Triton's TritonError, which gRPC clients see as a status.
        outcome: the label under which the request is counted in the metrics.
        retryable: whether the same request may succeed when it is sent again, here or to another server.
    """

    name: str
    http_status: int
    triton_code: TritonCode
    outcome: Outcome
    retryable: bool = False


ERROR_TYPES: dict[str, ErrorType] = {
    row.name: row
    for row in (
        ErrorType("invalid_value", 400, "INVALID_ARG", "invalid"),
        ErrorType("wrong_type", 400, "INVALID_ARG", "invalid"),
        ErrorType("unknown_field", 400, "INVALID_ARG", "invalid"),
        ErrorType("not_applicable", 400, "INVALID_ARG", "invalid"),
        ErrorType("given_twice", 400, "INVALID_ARG", "invalid"),
        ErrorType("bad_prompt", 400, "INVALID_ARG", "invalid"),
        ErrorType("bad_json", 400, "INVALID_ARG", "invalid"),
        ErrorType("bad_utf8", 400, "INVALID_ARG", "invalid"),
        ErrorType("prompt_too_long", 400, "INVALID_ARG", "invalid"),
        ErrorType("too_large", 413, "INVALID_ARG", "invalid"),
        ErrorType("not_found", 404, "NOT_FOUND", "invalid"),
        ErrorType("not_allowed", 405, "UNSUPPORTED", "invalid"),
        ErrorType("overloaded", 503, "UNAVAILABLE", "overloaded", retryable=True),
        ErrorType("unavailable", 503, "UNAVAILABLE", "error", retryable=True),
        ErrorType("cancelled", 499, "CANCELLED", "cancelled"),
        ErrorType("deadline_exceeded", 504, "CANCELLED", "deadline"),
        ErrorType("engine_failed", 500, "INTERNAL", "error", retryable=True),
        ErrorType("internal", 500, "INTERNAL", "error"),
        ErrorType("bad_bundle", 500, "INTERNAL", "error"),
        ErrorType("bad_checkpoint", 500, "INTERNAL", "error"),
        ErrorType("bad_config", 500, "INTERNAL", "error"),
        ErrorType("serve_failed", 500, "INTERNAL", "error"),
    )
}
"""Every type of error, by name. The last four end a program before it serves; no answer carries them."""


class TrimodeError(Exception):
    """Base of all; `error_type` is stable and machine-readable, the text is for people."""

    error_type = "internal"

    def on_the_wire(self) -> str:
        """Return `<error_type>: <message>`, the one form in which errors leave the server."""
        return f"{self.error_type}: {self}"

    @property
    def type(self) -> ErrorType:
        """What this error means outside: its HTTP status, Triton code, metric outcome, and whether to try again."""
        return ERROR_TYPES[self.error_type]


class Described(str):
    """A description, such as `12 gaps`, shown instead of the value itself."""

    __slots__ = ()


Said = Described  # its earlier name, kept for one release


class RequestError(TrimodeError):
    """Bad input. Keeps the field's name, the limit it broke and the value given, as JSON of at most 80 characters."""

    error_type = "invalid_value"

    def __init__(self, field: str, limit: str, given: object, *, error_type: str | None = None) -> None:
        self.field = field if len(field) <= 80 else f"{field[:64]}… ({len(field)} characters)"
        self.limit = limit
        self.given = shorten(given)
        if error_type is not None:
            self.error_type = error_type
        super().__init__(f"{self.field} {limit}, got {self.given}")


class PromptTooLongError(RequestError):
    """The prompt, the answer asked for and one block do not fit the capacity; `given` may be a size, as `12 tokens`."""

    error_type = "prompt_too_long"

    def __init__(self, field: str, limit: str, given: int | str) -> None:
        super().__init__(field, limit, Described(given))


class Refusal(TrimodeError):
    """A request that the process in front of Triton answers itself, with the type of error given."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class OverloadedError(TrimodeError):
    """The queue is full; answered at once so that the caller can go elsewhere."""

    error_type = "overloaded"


class CancelledError(TrimodeError):
    """The caller cancelled or went away."""

    error_type = "cancelled"


class DeadlineError(TrimodeError):
    """The request's own time limit passed before it finished."""

    error_type = "deadline_exceeded"


class EngineError(TrimodeError):
    """The engine could not run a pass."""

    error_type = "engine_failed"


class LostError(EngineError, ConnectionError):
    """The backend ended the connection before its answer was complete, or answered what is not HTTP."""


class BundleError(TrimodeError):
    """The engine bundle is missing, broken, or was built for something else; the text says how to rebuild."""

    error_type = "bad_bundle"


class CheckpointError(TrimodeError):
    """The checkpoint cannot be converted; the text names file, tensor, what was expected and what was found."""

    error_type = "bad_checkpoint"


class ConfigError(TrimodeError):
    """A key of model.yaml, or an environment variable, is unknown or out of range."""

    error_type = "bad_config"


class ServeError(TrimodeError):
    """The server's process could not be started or kept up."""

    error_type = "serve_failed"


def shorten(value: object, limit: int = 80) -> str:
    """Return `value` as a request would say it, JSON that can be printed, in at most `limit` characters."""
    text = value if isinstance(value, Described) else _as_json(value)
    return text if len(text) <= limit else f"{text[: limit - 24]}… ({len(text)} characters)"


def _as_json(value: object) -> str:
    # Python refuses to write integers of thousands of digits
    if isinstance(value, int) and value.bit_length() > 1024:
        return f"an integer of {value.bit_length()} bits"
    try:
        text = json.dumps(value, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__}"
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _plain(value: object) -> Any:
    """Convert values that JSON cannot represent."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return dict(value) if isinstance(value, Mapping) else repr(value)

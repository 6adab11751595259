"""Every error this project raises on purpose, in one tree, and what each type of error means to whoever receives it.

TrimodeError                  error_type                 who is at fault
├── RequestError              invalid_value …            the caller: names field, limit and the value given
│   └── PromptTooLongError    prompt_too_long            the caller: prompt and answer do not fit the capacity
├── Refusal                   too_large …                the caller, or a server that is not ready: the front answers
├── OverloadedError           overloaded                 nobody: the queue is full, try again
├── RateLimitedError          rate_limited               the caller has reached a limit of its own, and may wait
├── CancelledError            cancelled                  the caller went away
├── DeadlineError             deadline_exceeded          the request's own time limit passed
├── EngineError               engine_failed              the engine could not run a pass
│   ├── NotFiniteError        engine_failed              a pass gave values that are not finite
│   ├── DeviceLostError       engine_failed              the process has lost its GPU and must be replaced
│   ├── OutOfMemoryError      unavailable                the server lacks memory for a pass, which may change
│   └── LostError             engine_failed              the backend ended the connection before its answer was complete
├── ExhaustedError            unavailable                this process has no file or memory left to ask the backend
├── BundleError               bad_bundle                 the bundle on disk is missing, broken or of another build
├── CheckpointError           bad_checkpoint             the checkpoint cannot be converted
├── ConfigError               bad_config                 model.yaml or an environment variable
└── ServeError                serve_failed               the server's process could not be started or kept up
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from .table import ERROR_TYPES, ErrorType, Outcome

__all__ = [
    "ERROR_TYPES",
    "UNFORESEEN",
    "BundleError",
    "CancelledError",
    "CheckpointError",
    "ConfigError",
    "DeadlineError",
    "Described",
    "DeviceLostError",
    "EngineError",
    "ErrorType",
    "ExhaustedError",
    "LostError",
    "NotFiniteError",
    "OutOfMemoryError",
    "Outcome",
    "OverloadedError",
    "PromptTooLongError",
    "RateLimitedError",
    "Refusal",
    "RequestError",
    "Said",
    "ServeError",
    "TrimodeError",
    "engine_failure",
    "seconds_to_wait",
    "shorten",
]

_AGAIN = re.compile(r"; again in ([0-9]+) s$")
_MEMORY_WORDS = re.compile(r"bad_?alloc|fail(ed|ure) to allocate|out of memory|not enough memory", re.IGNORECASE)
"""What ONNX Runtime, CUDA and TensorRT say when there is no memory."""
UNFORESEEN = "the server met an error that it did not foresee; its log says which"
"""What callers get of a defect of ours: the text of an exception may hold paths, and says nothing to them."""


class TrimodeError(Exception):
    """Base of all; `error_type` is stable and machine-readable, the text is for people."""

    error_type = "internal"

    def on_the_wire(self) -> str:
        """Return `<error_type>: <message>`, the one form in which errors leave the server."""
        return f"{self.error_type}: {self}"

    def for_log(self) -> str:
        """Return what a log says of it: nothing that may be a caller's own words."""
        return self.error_type

    @property
    def type(self) -> ErrorType:
        """What this error means outside: its HTTP status, Triton code, metric outcome, and whether to try again."""
        return ERROR_TYPES[self.error_type]


class Described(str):
    """A description, such as `12 gaps`, shown instead of the value itself."""

    __slots__ = ()


Said = Described  # its earlier name, kept for one release


class RequestError(TrimodeError):
    """Bad input: the field, the limit that it broke, the value as JSON of at most 80 characters, and a hint, if any."""

    error_type = "invalid_value"

    def __init__(self, field: str, limit: str, given: object, *, error_type: str | None = None, hint: str = "") -> None:
        self.field = _printable(field if len(field) <= 80 else f"{field[:64]}… ({len(field)} characters)")
        self.limit = limit
        self.given = shorten(given)
        if error_type is not None:
            self.error_type = error_type
        super().__init__(f"{self.field} {limit}, got {self.given}" + (f"; {hint}" if hint else ""))

    def for_log(self) -> str:
        """Return the type of the error, the field and its limit."""
        return f"{self.error_type}: {self.field} {self.limit}"


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


class RateLimitedError(TrimodeError):
    """A caller has reached a limit of its own; the text ends with when it may ask again, see `seconds_to_wait`."""

    error_type = "rate_limited"

    def __init__(self, limit: str, most: int, given: int, seconds: float) -> None:
        super().__init__(f"{limit} must be at most {most}, got {given}; again in {max(math.ceil(seconds), 1)} s")


class CancelledError(TrimodeError):
    """The caller cancelled or went away; without a text of its own it says that."""

    error_type = "cancelled"

    def __init__(self, message: str = "") -> None:
        super().__init__(message or "the request was cancelled")


class DeadlineError(TrimodeError):
    """The request's own time limit passed before it finished."""

    error_type = "deadline_exceeded"


class EngineError(TrimodeError):
    """The engine could not run a pass."""

    error_type = "engine_failed"


class NotFiniteError(EngineError):
    """A pass of the engine gave values that are not finite."""


class DeviceLostError(EngineError):
    """The process has lost its GPU: nothing that it asks of it succeeds any more, so it must be replaced."""


class OutOfMemoryError(EngineError):
    """The server lacks memory for what a request needs; that may change, and says nothing against the request."""

    error_type = "unavailable"


class LostError(EngineError, ConnectionError):
    """The backend ended the connection before its answer was complete, or answered what is not HTTP."""


class ExhaustedError(TrimodeError, OSError):
    """This process has no file or memory left to ask the backend; that says nothing about the backend."""

    error_type = "unavailable"


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


def seconds_to_wait(text: str) -> int | None:
    """Return when to ask again, as the text of a RateLimitedError says; None for the text of any other error."""
    found = _AGAIN.search(text)
    return int(found[1]) if found else None


def engine_failure(what: str, cause: BaseException) -> EngineError:
    """Return what callers hear of a `cause` whose own words, which may hold paths, are for the log.

    Args:
        what: what failed, in our words.
        cause: why; one that speaks of memory gives an OutOfMemoryError.
    """
    if isinstance(cause, DeviceLostError):
        return EngineError(f"{what}: the GPU failed, so the backend ends; send the request again")
    if isinstance(cause, MemoryError | OutOfMemoryError) or _MEMORY_WORDS.search(str(cause)):
        return OutOfMemoryError(f"{what}: the server lacks memory for it now")
    return EngineError(f"{what}; the server's log says why")


def shorten(value: object, limit: int = 80) -> str:
    """Return `value` as a request would say it, JSON that can be printed, in at most `limit` characters."""
    text = _printable(value) if isinstance(value, Described) else _as_json(value)
    return text if len(text) <= limit else f"{text[: limit - 24]}… ({len(text)} characters)"


def _as_json(value: object) -> str:
    # Python refuses to write integers of thousands of digits
    if isinstance(value, int) and value.bit_length() > 1024:
        return f"an integer of {value.bit_length()} bits"
    try:
        text = json.dumps(value, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError, RecursionError):
        return f"a {type(value).__name__}"
    return _printable(text)


def _printable(text: str) -> str:
    """Return `text` with the characters that cannot be printed, such as a line's end, written as in JSON."""
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _plain(value: object) -> Any:
    """Convert values that JSON cannot represent."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return dict(value) if isinstance(value, Mapping) else repr(value)

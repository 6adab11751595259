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
├── ExhaustedError            unavailable                this process has no file or memory left to ask the backend
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
        meaning: what happened.
        remedy: what to do; for a retryable type, when to send the request again.
    """

    name: str
    http_status: int
    triton_code: TritonCode
    outcome: Outcome
    meaning: str
    remedy: str
    retryable: bool = False


# A table: the codes of a type in its first line, its words below.
# fmt: off
ERROR_TYPES: dict[str, ErrorType] = {
    row.name: row
    for row in (
        ErrorType("invalid_value", 400, "INVALID_ARG", "invalid",
            meaning="A value is out of its range, not one of the choices, or empty where it must not be.",
            remedy="Correct the field that the message names; the message gives the limit and the value."),
        ErrorType("wrong_type", 400, "INVALID_ARG", "invalid",
            meaning="A value has another type than its field: text for a number, or no list.",
            remedy="Send the type that the reference of parameters gives."),
        ErrorType("unknown_field", 400, "INVALID_ARG", "invalid",
            meaning="The request has a field that does not exist.",
            remedy="Correct the name; the message suggests the nearest one. Nothing is ignored in silence."),
        ErrorType("not_applicable", 400, "INVALID_ARG", "invalid",
            meaning="A field does not apply to the operation, the mode, the checkpoint or another field of the "
            "request; or the endpoint does not fit.",
            remedy="Leave the field out, or change what rules it out; the message names both."),
        ErrorType("given_twice", 400, "INVALID_ARG", "invalid",
            meaning="A field was given twice, for example as a tensor and as a parameter.",
            remedy="Give it once."),
        ErrorType("bad_prompt", 400, "INVALID_ARG", "invalid",
            meaning="The request has no prompt, or more than one.",
            remedy="Give exactly one of `text_input`, `input_ids`, `messages`, `segments` and `text`."),
        ErrorType("bad_json", 400, "INVALID_ARG", "invalid",
            meaning="The body, or a field that holds JSON, is not valid JSON, or an object has a key twice; or "
            "the body is not encoded as its headers say.",
            remedy="Send valid JSON in UTF-8."),
        ErrorType("bad_utf8", 400, "INVALID_ARG", "invalid",
            meaning="A text is not valid UTF-8.",
            remedy="Encode it as UTF-8; lone surrogates are refused."),
        ErrorType("prompt_too_long", 400, "INVALID_ARG", "invalid",
            meaning="The prompt, the answer asked for and one block do not fit the capacity of the model.",
            remedy="Shorten the prompt or lower `max_tokens`; the message gives the capacity."),
        ErrorType("too_large", 413, "INVALID_ARG", "invalid",
            meaning="The HTTP body, or the gRPC message, is larger than the server accepts.",
            remedy="Send less, or start the server with a larger `--max-body-mib`."),
        ErrorType("bad_request", 400, "INVALID_ARG", "invalid",
            meaning="What came over HTTP is not a request, or ended before it was complete.",
            remedy="Send HTTP/1.1, with a body as long as its headers say."),
        ErrorType("request_timeout", 408, "INVALID_ARG", "invalid",
            meaning="The head or the body of an HTTP request took too long to arrive.",
            remedy="Send it without pauses; the message gives the limit."),
        ErrorType("unsupported_encoding", 415, "INVALID_ARG", "invalid",
            meaning="The HTTP body has a `Content-Encoding` or a `Transfer-Encoding` that the server does not read.",
            remedy="Send it plain, or as gzip or deflate."),
        ErrorType("header_too_large", 431, "INVALID_ARG", "invalid",
            meaning="The head of an HTTP request has too many lines, or a line that is too long.",
            remedy="Send fewer or shorter headers, and what belongs to the request in its body."),
        ErrorType("unsupported_version", 505, "UNSUPPORTED", "invalid",
            meaning="The request is not HTTP/1.1 or HTTP/1.0; a gRPC client may have come to the port of HTTP.",
            remedy="Use HTTP/1.1, or gRPC at its own port."),
        ErrorType("not_found", 404, "NOT_FOUND", "invalid",
            meaning="The HTTP path is not served, or there is no such model or version.",
            remedy="Correct the path: requests go to `/v2/models/nemotron_diffusion/generate`."),
        ErrorType("unauthorized", 401, "INVALID_ARG", "invalid",
            meaning="The server needs an API key, and the request has none, or one that is not the server's.",
            remedy="Send a key of the server as `Authorization: Bearer KEY`, or as `x-api-key`."),
        ErrorType("not_allowed", 405, "UNSUPPORTED", "invalid",
            meaning="The HTTP path exists, but not with this method; or the call administers the server.",
            remedy="Use POST for `generate` and `generate_stream`, GET for questions about the server; `Allow` lists "
            "the methods of a path."),
        ErrorType("overloaded", 503, "UNAVAILABLE", "overloaded", retryable=True,
            meaning="All slots are taken and the queue is full, or the request waited in a full queue and made room "
            "for a caller with fewer, or all HTTP connections are open and busy.",
            remedy="Send it again after the seconds in `Retry-After` (HTTP) or after a second, waiting longer "
            "each time, or to another server."),
        ErrorType("unavailable", 503, "UNAVAILABLE", "error", retryable=True,
            meaning="The server starts, restarts or stops, or the machine lacks memory or files for the request.",
            remedy="Send it again after the seconds in `Retry-After`, until the server is ready; a start may "
            "take minutes."),
        ErrorType("cancelled", 499, "CANCELLED", "cancelled",
            meaning="The caller cancelled the request or closed its connection. Those that the server cuts off when "
            "it stops end with `engine_failed`.",
            remedy="Nothing, if that was intended; otherwise send it again."),
        ErrorType("deadline_exceeded", 504, "CANCELLED", "deadline",
            meaning="The request's time limit passed, or the backend was silent or a gRPC stream idle for too long.",
            remedy="Raise `timeout_ms`, ask for less, or find out why the server is slow; sent again at once it "
            "will probably fail again."),
        ErrorType("engine_failed", 500, "INTERNAL", "error", retryable=True,
            meaning="A pass of the engine or the process of the chat template failed, or the backend or the server "
            "ended before the answer was complete. A backend that ended is replaced.",
            remedy="Send it again at once; if it fails again, read the server's log."),
        ErrorType("internal", 500, "INTERNAL", "error",
            meaning="The server met an error that it did not foresee.",
            remedy="Report it with the server's log."),
        ErrorType("bad_bundle", 500, "INTERNAL", "error",
            meaning="The engine bundle is missing, broken, or was built for something else.",
            remedy="Build it again; the message gives the command."),
        ErrorType("bad_checkpoint", 500, "INTERNAL", "error",
            meaning="The checkpoint cannot be converted.",
            remedy="Compare the file and the tensor that the message names with the official layout."),
        ErrorType("bad_config", 500, "INTERNAL", "error",
            meaning="A key of `model.yaml`, or an environment variable, is unknown or out of range.",
            remedy="Correct it as the reference of the configuration says."),
        ErrorType("serve_failed", 500, "INTERNAL", "error",
            meaning="The server's process could not be started or kept up.",
            remedy="Read the message and the log: a port may be taken, or tritonserver may be missing."),
    )
}
# fmt: on
"""Every type of error, by name. The last four end a program before it serves; no answer carries them."""


UNFORESEEN = "the server met an error that it did not foresee; its log says which"
"""What callers get of a defect of ours: the text of an exception may hold paths, and says nothing to them."""


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
    """Bad input: the field, the limit that it broke, the value as JSON of at most 80 characters, and a hint, if any."""

    error_type = "invalid_value"

    def __init__(self, field: str, limit: str, given: object, *, error_type: str | None = None, hint: str = "") -> None:
        self.field = _printable(field if len(field) <= 80 else f"{field[:64]}… ({len(field)} characters)")
        self.limit = limit
        self.given = shorten(given)
        if error_type is not None:
            self.error_type = error_type
        super().__init__(f"{self.field} {limit}, got {self.given}" + (f"; {hint}" if hint else ""))


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

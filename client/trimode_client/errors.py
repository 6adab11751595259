"""Every error the client raises on purpose, in one tree; what the server said keeps its stable `error_type`.

TrimodeClientError
├── ServerError(error_type, message)   the server answered with an error
│   ├── InvalidRequestError            the request is wrong; also raised before sending when the client can tell
│   │   └── PromptTooLongError         prompt and answer do not fit the model's capacity
│   ├── OverloadedError                the queue is full, try again
│   ├── CancelledError                 the request was cancelled
│   ├── DeadlineError                  the overall time limit passed, seen by the server or by the client
│   └── EngineError                    the engine could not run a pass
├── UnavailableError                   nobody answers at this address, or the model is not ready
├── StalledError                       no response arrived within the inactivity limit
└── IncompleteError                    the answer ended before its last chunk, or cannot be understood
"""

from __future__ import annotations

import json
import re

_TYPED = r"([a-z][a-z0-9_]*): "


class TrimodeClientError(Exception):
    """Base of all."""


class ServerError(TrimodeClientError):
    """The server's answer: `error_type` is for programs, `message` for people."""

    def __init__(self, error_type: str, message: str) -> None:
        self.error_type = error_type
        self.message = message
        super().__init__(f"{error_type}: {message}")


class InvalidRequestError(ServerError):
    """The request has an unknown field, a value out of range, or fields that do not go together."""


class PromptTooLongError(InvalidRequestError):
    """The prompt and the answer asked for do not fit the model's capacity."""


class OverloadedError(ServerError):
    """The server's queue is full; try again later or elsewhere."""


class CancelledError(ServerError):
    """The request was cancelled."""


class DeadlineError(ServerError):
    """The overall time limit passed before the answer was complete."""


class EngineError(ServerError):
    """The server's engine could not run a pass."""


class UnavailableError(TrimodeClientError):
    """Nobody answers at this address, or the model is not ready."""


def unreachable(url: str, protocol: str, cause: object) -> str:
    """Return what to say where nobody listens, and what may be wrong."""
    hint = "is `make serve` running? another port is named with --url host:port or TRIMODE_URL"
    return f"nobody answers at {url} ({protocol}): {cause}; {hint}"


class StalledError(TrimodeClientError):
    """No response arrived within the inactivity limit: the server is stuck or gone."""


class IncompleteError(TrimodeClientError):
    """The answer ended before its last chunk, or cannot be understood."""


BY_TYPE: dict[str, type[ServerError]] = {
    "invalid_value": InvalidRequestError,
    "wrong_type": InvalidRequestError,
    "unknown_field": InvalidRequestError,
    "not_applicable": InvalidRequestError,
    "bad_prompt": InvalidRequestError,
    "bad_json": InvalidRequestError,
    "bad_utf8": InvalidRequestError,
    "given_twice": InvalidRequestError,
    "too_large": InvalidRequestError,
    "prompt_too_long": PromptTooLongError,
    "overloaded": OverloadedError,
    "cancelled": CancelledError,
    "deadline_exceeded": DeadlineError,
    "engine_failed": EngineError,
}


def server_error(text: str, fallback_type: str = "triton") -> TrimodeClientError:
    """Build the error for `text`, "error_type: message" as the server sends it, perhaps wrapped by Triton.

    A text without a type, one of Triton's own, gets `fallback_type`.
    """
    typed = re.match(_TYPED, text)
    if typed is None:  # Triton may have put its own words in front of a type that we know
        typed = next((m for m in re.finditer(rf"(?<=[\s'\"]){_TYPED}", text) if m[1] in BY_TYPE), None)
    if typed is None:
        return ServerError(fallback_type, text)
    error_type, message = typed[1], text[typed.end() :]
    if error_type == "unavailable":
        return UnavailableError(message)
    return BY_TYPE.get(error_type, ServerError)(error_type, message)


def http_error(status: int, body: bytes) -> TrimodeClientError:
    """Build the error for an HTTP answer other than 200: JSON, one event of a stream, or plain text."""
    text = body.decode("utf-8", errors="replace").strip()
    try:
        parsed = json.loads(text.removeprefix("data:"))
    except ValueError:
        parsed = None
    if isinstance(parsed, dict) and isinstance(parsed.get("error"), str):
        text = parsed["error"]
    return server_error(text or "no explanation was given", fallback_type=f"http_{status}")

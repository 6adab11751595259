"""The page of errors, from trimode/errors/ and the client's own exceptions."""

from __future__ import annotations

from trimode.errors import ERROR_TYPES, ErrorType
from trimode.server.error_answer import RETRY_AFTER_SECONDS
from trimode.server.grpc_front.status import status_of
from trimode_client.errors import (
    AddressError,
    ClosedError,
    IncompleteError,
    StalledError,
    TlsError,
    TrimodeClientError,
    UnavailableError,
    typed_error,
)

from .markdown import code, paragraphs, table

OF_PROGRAMS = ("bad_bundle", "bad_checkpoint", "bad_config", "serve_failed")
"""Types that end a program before it serves; no answer carries them."""

COLUMNS = ("error_type", "HTTP", "gRPC status", "Triton code", "metric outcome", "client class", "retry")

INTRODUCTION = f"""
# Errors

Every error has a stable `error_type`, a word for programs, and a message for people. On the wire both are one text,
`<error_type>: <message>`. The message of a bad request names the field, the limit and the value given, for example
`invalid_value: max_tokens must be between 1 and 2147483647, got 0`.

- **Over HTTP** the answer is the object `{{"error": "<error_type>: <message>"}}` with the status below. With status
  503 comes the header `Retry-After: {RETRY_AFTER_SECONDS}` (seconds), with 429 one that says when the
  limit allows another request. A stream that has begun keeps its status 200, and ends with an event that holds such an
  object.
- **Over gRPC** the text is the `error_message` of a `ModelStreamInferResponse`, and the stream goes on. A call that
  answers once, and a stream that the server closes, end with the gRPC status below, and the text is its message.
- **To OpenAI's clients** they have OpenAI's form: see [the guide](../guides/openai.md#errors).
- **In Python** the client raises an exception of the class below, all of them a `TrimodeClientError`. It has the
  property `retryable`; errors that the server sent also have `error_type` and `message`.

Triton itself refuses some requests before the model sees them, such as a tensor of a wrong datatype. The server puts a
type in front of these errors too: the one that their words mean, or `internal` where it does not know the words.
"""

RETRIES = """
*Retry* says whether the same request may succeed when it is sent again. Sending a request again changes nothing on the
server. The Python client does so by itself, twice at most, as long as nothing of the answer has come; its option
`retries` sets how often.
"""

OF_CLIENT_ONLY = (UnavailableError, AddressError, TlsError, StalledError, IncompleteError, ClosedError)

OF_CLIENT = """
The client raises these when no server sent an error. `UnavailableError` stands for the type `unavailable` too;
`AddressError` and `TlsError` are kinds of it.
"""


def page() -> str:
    """Return the page."""
    answered = [row for row in ERROR_TYPES.values() if row.name not in OF_PROGRAMS]
    programs = [ERROR_TYPES[name] for name in OF_PROGRAMS]
    return paragraphs(
        INTRODUCTION,
        "## Types of error",
        table(COLUMNS, map(_codes, answered)),
        RETRIES,
        "## What each type means",
        table(("error_type", "what happened", "what to do"), map(_words, answered)),
        "## Errors of the client",
        OF_CLIENT,
        table(("class", "what happened", "retry"), map(_of_client, OF_CLIENT_ONLY)),
        "## Errors that end a program",
        "`trimode-serve` and the converter print these and end; no answer carries them.",
        table(("error_type", "what happened", "what to do"), map(_words, programs)),
    )


def _codes(row: ErrorType) -> tuple[str, ...]:
    kind = type(typed_error(row.name, "")).__name__
    status = status_of(row.name).name
    return code(row.name), str(row.http_status), status, row.triton_code, row.outcome, kind, _yes(row.retryable)


def _words(row: ErrorType) -> tuple[str, ...]:
    return code(row.name), row.meaning, row.remedy


def _of_client(kind: type[TrimodeClientError]) -> tuple[str, ...]:
    return kind.__name__, (kind.__doc__ or "").strip(), _yes(kind("").retryable)


def _yes(value: bool) -> str:
    return "yes" if value else "no"

"""What each type of error means to whoever receives it: one table, by which every face of the server and the client go.

Knows codes and words; the exceptions are in this package's __init__.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
        ErrorType("bad_grammar", 400, "INVALID_ARG", "invalid",
            meaning="What the answer must match, a schema, an expression or a grammar, is not valid, is too large, "
            "fits no text, or asks for what cannot be enforced.",
            remedy="Correct it; the message names what is refused, and where it stands."),
        ErrorType("bad_image", 400, "INVALID_ARG", "invalid",
            meaning="A picture is empty, too large, broken or of another format; or the places for pictures in the "
            "prompt are not as many as the pictures.",
            remedy="Send a PNG, JPEG, WebP or GIF within the limits that the message gives, and a place for each."),
        ErrorType("bad_image_url", 400, "INVALID_ARG", "invalid",
            meaning="The URL of a picture cannot be read, leads to a host or an address that is not allowed, or gave "
            "no picture in time.",
            remedy="Send the picture itself, base64 or a `data:` URL, or have the operator name the host with "
            "`--allowed-media-domains`."),
        ErrorType("no_filling", 400, "INVALID_ARG", "invalid",
            meaning="No text was found for a gap with which the gap, or the whole text, matches what it must match.",
            remedy="Allow more tokens with `max_tokens` or other sizes of the gap, or see whether the text around "
            "it can be completed so at all."),
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
            meaning="The head or the body of an HTTP request, or a message over gRPC, took too long to arrive.",
            remedy="Send it without pauses; the message gives the limit."),
        ErrorType("unsupported_encoding", 415, "INVALID_ARG", "invalid",
            meaning="The HTTP body has a `Content-Encoding` or a `Transfer-Encoding` that the server does not read.",
            remedy="Send it plain, or as gzip or deflate."),
        ErrorType("header_too_large", 431, "INVALID_ARG", "invalid",
            meaning="The head of an HTTP request has too many lines, or a line that is too long; or a gRPC call has "
            "too much metadata.",
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
            "for a caller with fewer. Or too many HTTP connections are open, or arriving bodies are too much together.",
            remedy="Send it again after the seconds in `Retry-After` (HTTP) or after a second, waiting longer "
            "each time, or to another server."),
        ErrorType("rate_limited", 429, "UNAVAILABLE", "overloaded", retryable=True,
            meaning="The caller, which is its API key or its address, has sent more requests, or had more tokens, than "
            "it may within a minute, or has too many requests running.",
            remedy="Send it again after the seconds in `Retry-After`, which the message ends with too; or ask whoever "
            "runs the server for a higher limit."),
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

"""What the server says, as exceptions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from trimode import errors as server
from trimode_client import errors
from trimode_client.errors import ServerError, http_error, server_error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (server.RequestError("top_k", "must be at least 0", -1), errors.InvalidRequestError),
        (server.RequestError("x", "is not a field", 1, error_type="unknown_field"), errors.InvalidRequestError),
        (server.PromptTooLongError("text_input", "must fit", 9), errors.PromptTooLongError),
        (server.OverloadedError("the queue is full"), errors.OverloadedError),
        (server.RateLimitedError("requests_per_minute", 60, 61, 12.5), errors.RateLimitedError),
        (server.CancelledError("gone"), errors.CancelledError),
        (server.DeadlineError("late"), errors.DeadlineError),
        (server.EngineError("broken"), errors.EngineError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_of_the_runtime_has_its_twin(error: server.TrimodeError, kind: type[ServerError]) -> None:
    raised = server_error(error.on_the_wire())
    assert isinstance(raised, ServerError)
    assert (type(raised), raised.error_type, raised.message) == (kind, error.error_type, str(error))


def test_a_limited_caller_hears_when_to_ask_again_over_both_protocols() -> None:
    text = server.RateLimitedError("requests_per_minute", 60, 61, 12.5).on_the_wire()
    assert server_error(text).retry_after == http_error(429, text.encode()).retry_after == 13.0
    assert http_error(429, text.encode(), "7").retry_after == 7.0
    assert server_error("overloaded: the queue is full").retry_after is None


CLASSES: dict[str, type[errors.TrimodeClientError]] = {
    "overloaded": errors.OverloadedError,
    "rate_limited": errors.RateLimitedError,
    "unavailable": errors.UnavailableError,
    "cancelled": errors.CancelledError,
    "deadline_exceeded": errors.DeadlineError,
    "engine_failed": errors.EngineError,
    "prompt_too_long": errors.PromptTooLongError,
    **dict.fromkeys(("internal", "bad_bundle", "bad_checkpoint", "bad_config", "serve_failed"), ServerError),
}


@pytest.mark.parametrize("row", server.ERROR_TYPES.values(), ids=lambda row: row.name)
def test_every_type_of_the_table_has_a_class_and_says_whether_to_try_again(row: server.ErrorType) -> None:
    raised = server_error(f"{row.name}: because")
    assert type(raised) is CLASSES.get(row.name, errors.InvalidRequestError)
    assert (row.outcome == "invalid") == isinstance(raised, errors.InvalidRequestError)
    assert raised.retryable is row.retryable
    assert str(raised).endswith("because")


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (errors.OverloadedError("overloaded", "full"), True),
        (errors.EngineError("engine_failed", "broken"), True),
        (errors.UnavailableError("nobody answers"), True),
        (errors.AddressError("no address"), False),
        (errors.TlsError("not trusted"), False),
        (errors.ClosedError("closed"), False),
        (errors.StalledError("no response"), True),
        (errors.IncompleteError("broken off"), True),
        (errors.InvalidRequestError("invalid_value", "top_k"), False),
        (errors.DeadlineError("deadline_exceeded", "late"), False),
        (errors.CancelledError("cancelled", "gone"), False),
        (ServerError("http_502", "bad gateway"), False),
        (errors.TrimodeClientError("a.txt cannot be written"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_says_whether_the_same_request_may_succeed_later(
    error: errors.TrimodeClientError, retryable: bool
) -> None:
    assert error.retryable is retryable


def test_a_type_without_a_class_of_its_own_is_kept() -> None:
    raised = server_error("internal: ValueError: boom")
    assert (type(raised), str(raised)) == (ServerError, "internal: ValueError: boom")


def test_a_text_that_triton_wrapped_is_found() -> None:
    raised = server_error("in ensemble 'x', overloaded: the queue is full")
    assert str(raised) == "overloaded: the queue is full"


def test_a_server_that_is_starting_is_unavailable() -> None:
    raised = server_error("unavailable: the server is starting, try again")
    assert (type(raised), str(raised)) == (errors.UnavailableError, "the server is starting, try again")


def test_tritons_own_text_is_kept_whole() -> None:
    text = "Request for unknown model: 'x' is not found"
    assert str(server_error(text)) == f"triton: {text}"


@pytest.mark.parametrize("body", [b'{"error":"overloaded: full"}', b'data: {"error":"overloaded: full"}\n\n'])
def test_an_http_error_is_read_from_json_and_from_an_event(body: bytes) -> None:
    assert isinstance(http_error(400, body), errors.OverloadedError)


@pytest.mark.parametrize(("body", "text"), [(b"", "no explanation was given"), (b"\xff", "\ufffd"), (b"[]", "[]")])
def test_an_http_error_without_json_still_says_something(body: bytes, text: str) -> None:
    assert str(http_error(502, body)) == f"http_502: {text}"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("soon", None),
        ("-1", None),
        ("9" * 400, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ],
)
def test_an_http_error_says_how_long_to_wait(header: str | None, seconds: float | None) -> None:
    assert http_error(503, b'{"error":"overloaded: full"}', header).retry_after == seconds


def test_a_date_to_come_is_so_many_seconds_away() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    waited = http_error(503, b"", later).retry_after
    assert waited is not None
    assert 0 < waited <= 3600


@pytest.mark.parametrize("text", ["", "full", "ipv4: refused", "http_502: bad gateway"])
def test_only_a_type_of_the_table_is_a_stated_error(text: str) -> None:
    assert errors.stated_error(text) is None
    assert isinstance(errors.stated_error("overloaded: full"), errors.OverloadedError)


def test_the_tree_drawn_in_the_docstring_is_the_tree() -> None:
    drawn = errors.__doc__ or ""
    defined = [
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    ]
    assert [name for name in defined if name not in drawn] == []

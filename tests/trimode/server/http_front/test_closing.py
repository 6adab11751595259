"""The last answer of a connection."""

from __future__ import annotations

from trimode.errors import Refusal
from trimode.server.http_front.closing import Closing, last_answer, refuse_plainly


def test_the_last_answer_says_that_it_is_the_last() -> None:
    head, _, body = last_answer(refuse_plainly("", Refusal("overloaded", "full"))).partition(b"\r\n\r\n")
    first, *headers = head.split(b"\r\n")
    assert first == b"HTTP/1.1 503 Service Unavailable"
    assert {b"Connection: close", b"Content-Length: %d" % len(body), b"Retry-After: 1"} < set(headers)
    assert body == b'{"error": "overloaded: full"}'


def test_aiohttp_closes_after_it() -> None:
    made = Closing(refuse_plainly("", Refusal("bad_request", "no")), lambda: None, 0.0)
    assert (made.status, made.keep_alive) == (400, False)

"""The path in bytes that may be no request."""

from __future__ import annotations

import pytest
from trimode.server.http_front.unreadable import path_in


@pytest.mark.parametrize(
    ("head", "path"),
    [
        (b"POST /v1/models?a=b HTTP/1.1\r\nHost: /x", "/v1/models"),
        (b"POST  /v1/models", "/v1/models"),
        (b"GET /a\xff\r\n", "/a\xff"),
        (b"GET http://x/v1/models HTTP/1.1\r\n", ""),
        (b"\x16\x03\x01\x02", ""),
        (b"", ""),
        (b"GET\r\n/v1/models", ""),
    ],
)
def test_the_path_of_the_first_line(head: bytes, path: str) -> None:
    assert path_in(head) == path

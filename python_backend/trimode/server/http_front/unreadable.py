"""What a caller hears of bytes that are no HTTP request, by what aiohttp's parser says of them, and where it asked."""

from __future__ import annotations

from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from ...errors import Described, Refusal, shorten


def unreadable(exc: HttpProcessingError) -> Refusal:
    """Return what the caller hears of bytes that are no request."""
    said = words_of(exc)
    if isinstance(exc, LineTooLong):
        return Refusal("header_too_large", f"a line of the head must be at most {exc.args[1]} bytes")
    if "Too many headers" in said:
        return Refusal("header_too_large", "there are too many headers")
    if "PRI/Upgrade" in said:
        return Refusal("unsupported_version", "HTTP/2 is not spoken here, HTTP/1.1 is")
    if "HTTP version" in said:
        return Refusal("unsupported_version", "only HTTP/1.1 and HTTP/1.0 are spoken here")
    return Refusal("bad_request", f"this cannot be read as HTTP/1.1: {said}")


def words_of(exc: HttpProcessingError) -> str:
    """Return what aiohttp's parser says of bytes that it cannot read, in one line and without the bytes."""
    return shorten(Described(" ".join(exc.message.partition("\n\n")[0].split()).rstrip(":")))


def path_in(head: bytes) -> str:
    """Return the path in the first line of a head without its query, "" if there is none."""
    words = head.split(b"\n", 1)[0].split()
    path = words[1].partition(b"?")[0] if len(words) > 1 else b""
    return path.decode("latin-1") if path.startswith(b"/") else ""

"""read_body: the body of a request, in the encoding that its headers announce, or a refusal."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator
from functools import partial

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.streams import StreamReader

from ...errors import Refusal, shorten
from ..caller import neighbours
from ..error_answer import ENCODINGS
from ..serving import Limits
from .bodies import Body

WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""zlib's `wbits` for each Content-Encoding that is read; RFC 9110 has x-gzip as another name of gzip."""


@contextlib.asynccontextmanager
async def read_body(request: web.BaseRequest, limits: Limits) -> AsyncIterator[bytes]:
    """Read the body and give it; one that is too large is refused before Triton gets any of it.

    Inside the block it counts for limits.bodies, the bodies that are being read.

    Raises:
        Refusal: it is larger than the limit, does not arrive in time, is not encoded as its headers say, has an
            encoding that is not read here, or too much is being read at once.
    """
    coding = _coding(request)
    _check_size(request.content_length or 0, limits)
    held = limits.bodies.begin(neighbours((request.remote,)))
    try:
        body = await _read(request, limits, held)
        if coding:
            body = await asyncio.to_thread(decoded, body, coding, limits.body_bytes)
            limits.bodies.grow(held, len(body))
        yield body
    finally:
        limits.bodies.end(held)


async def _read(request: web.BaseRequest, limits: Limits, held: Body) -> bytes:
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        if request.content.is_eof():  # it came with its head, as most do
            body = request.content.read_nowait()
            _check_size(len(body), limits)
            limits.bodies.grow(held, len(body))
            return body
        async with asyncio.timeout(limits.upload_seconds) as timer:
            held.make_room = partial(timer.reschedule, 0)  # the second 0 of the loop's clock: it is over at once
            return await _arriving(request.content, limits, held)
    except TimeoutError as exc:
        if held.ended:
            raise limits.bodies.refusal() from exc
        raise Refusal("request_timeout", f"the body took more than {limits.upload_seconds:g} s to arrive") from exc
    except web.RequestPayloadError as exc:
        raise Refusal("bad_request", f"the body cannot be read: {exc}") from exc
    finally:
        held.make_room = None


async def _arriving(content: StreamReader, limits: Limits, held: Body) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await content.readany():
        parts.append(part)
        size += len(part)
        _check_size(size, limits)
        limits.bodies.grow(held, len(part))
    return b"".join(parts)


def decoded(body: bytes, coding: str, most_bytes: int, what: str = "the body") -> bytes:
    """Return what `body` holds in `coding`, a key of WINDOW; errors call it `what`.

    Raises:
        Refusal: it holds more than `most_bytes`, is not of this coding, is cut short, or something follows it.
    """
    inflater = zlib.decompressobj(WINDOW[coding])
    try:
        found = inflater.decompress(body, most_bytes + 1)
    except zlib.error as exc:
        raise Refusal("bad_json", f"{what} must be {coding}, as its Content-Encoding says") from exc
    if len(found) > most_bytes:
        raise Refusal("too_large", f"{what} must be at most {most_bytes} bytes, got more once it was decoded")
    if not inflater.eof:
        raise Refusal("bad_json", f"{what} ends within its {coding} data")
    if inflater.unused_data:  # another member, say: a body can hold so many that they take minutes
        raise Refusal("bad_json", f"{what} goes on after its {coding} data")
    return found


def _coding(request: web.BaseRequest) -> str:
    """Return the body's coding, "" for none."""
    if "Transfer-Encoding" not in request.headers and "Content-Encoding" not in request.headers:
        return ""
    transfer = ", ".join(request.headers.getall("Transfer-Encoding", ())).strip().lower()
    if transfer and request.version < HttpVersion11:
        raise Refusal("bad_request", "HTTP/1.0 does not have Transfer-Encoding")
    if transfer not in ("", "chunked"):
        text = f"Transfer-Encoding must be chunked, got {shorten(transfer)}"
        raise Refusal("unsupported_encoding", text)
    content = ", ".join(request.headers.getall("Content-Encoding", ())).strip().lower()
    if content in ("", "identity"):
        return ""
    if content not in WINDOW:
        raise Refusal("unsupported_encoding", f"Content-Encoding must be one of {ENCODINGS}, got {shorten(content)}")
    return content


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.body_bytes:
        raise Refusal("too_large", f"the body must be at most {limits.body_bytes} bytes, got {size}")

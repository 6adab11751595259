"""request_maker: requests of HTTP/1.0 and 1.1 for aiohttp's server, and the refusal of other versions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.streams import StreamReader

from ...errors import Refusal
from .connection import Connection

VERSIONS = (HttpVersion10, HttpVersion11)


def request_maker(loop: asyncio.AbstractEventLoop) -> Callable[..., web.BaseRequest]:
    """Return what makes requests for a `web.Server`: of HTTP/1.0 or 1.1, since an answer has its request's version."""

    def make(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: Connection,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        if message.version is HttpVersion11:
            request = web.BaseRequest(message, payload, protocol, writer, task, loop)
            protocol.began(request)
            return request
        version = message.version
        readable = message.method != "UNKNOWN"  # aiohttp's stand-in for what it could not parse, as HTTP/1.0
        if not readable or version not in VERSIONS:
            message = message._replace(version=HttpVersion11, should_close=True)  # a named tuple's public method
        request = web.BaseRequest(message, payload, protocol, writer, task, loop)
        if readable and version not in VERSIONS:
            text = f"HTTP/{version.major}.{version.minor} is not spoken here, HTTP/1.1 is"
            protocol.refusal = Refusal("unsupported_version", text)
        protocol.began(request)
        return request

    return make

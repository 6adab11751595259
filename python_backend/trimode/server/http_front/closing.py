"""The last answer of a connection: to bytes that cannot be read, by way of aiohttp, or outside of any request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from ...errors import TrimodeError
from ..error_answer import error_response

Refuse = Callable[[str, TrimodeError], web.Response]
"""From the path of a request, "" where it is not known, to the answer to an error in the form of that path's face."""


def refuse_plainly(path: str, error: TrimodeError) -> web.Response:
    """Return the answer to an error in the form of Triton's face, which has no other."""
    del path
    return error_response(error.on_the_wire())


class Closing(web.Response):
    """Answers what was `made`, calls `end`, and gives the caller `seconds` to read that before aiohttp closes."""

    def __init__(self, made: web.Response, end: Callable[[], None], seconds: float) -> None:
        super().__init__(body=made.body, status=made.status, headers=made.headers)
        self.force_close()
        self._end = end
        self._seconds = seconds

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the answer, and let the caller read it before the connection is closed."""
        await super().write_eof(data)
        self._end()
        await asyncio.sleep(self._seconds)  # the end of the connection cancels this


def last_answer(made: web.Response) -> bytes:
    """Return the bytes of an answer outside of any request."""
    assert isinstance(made.body, bytes)
    made.headers.update({"Connection": "close", "Content-Length": str(len(made.body))})
    head = "".join(f"{name}: {value}\r\n" for name, value in made.headers.items())
    return f"HTTP/1.1 {made.status} {made.reason}\r\n{head}\r\n".encode() + made.body

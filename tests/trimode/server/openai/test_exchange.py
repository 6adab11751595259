"""A stream that ends with an error says so to those that count it, over a real connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from trimode.server.access.origins import Origins
from trimode.server.error_answer import ERROR_TYPE
from trimode.server.http_front.listener import listen
from trimode.server.openai.shared.errors import FaceError
from trimode.server.openai.shared.exchange import Exchange, Last, Services

from tests.server.server import free_ports


async def events(*, fails: bool) -> AsyncGenerator[bytes]:
    yield b"data: one\n\n"
    if fails:
        raise FaceError("deadline_exceeded", "it took too long")
    yield Last(b"data: two\n\n")


@pytest.mark.parametrize(("fails", "error_type"), [(True, "deadline_exceeded"), (False, "")])
def test_the_type_of_an_error_in_a_stream_stands_in_its_response(fails: bool, error_type: str) -> None:
    found: list[str] = []
    service: Any = SimpleNamespace(entry=SimpleNamespace(origins=Origins()))

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        made = await Exchange(request, Services([service])).stream(
            events(fails=fails), lambda error: error.error_type.encode()
        )
        found.append(made.get(ERROR_TYPE, ""))
        return made

    async def run() -> bytes:
        (port,) = free_ports(1)
        async with listen(handle, "127.0.0.1", port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return answer

    answer = asyncio.run(run())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and b"data: one" in answer
    assert (b"deadline_exceeded" in answer) == fails
    assert found == [error_type]

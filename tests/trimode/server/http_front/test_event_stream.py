"""The head of a stream leaves with its first events, and the end of a stream with its last ones."""

from __future__ import annotations

import asyncio

from aiohttp import web
from trimode.server.http_front.event_stream import EventStream
from trimode.server.http_front.listener import listen

from tests.server.server import free_ports


def test_head_and_first_part_are_one_write_and_so_are_last_part_and_end() -> None:
    writes: list[bytes] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        write = transport.write

        def note(data: bytes | bytearray | memoryview) -> None:
            writes.append(bytes(data))
            write(data)

        transport.write = note  # type: ignore[method-assign]
        response = EventStream()
        await response.prepare(request)
        await response.write(b"one")
        await response.write_eof(b"two")
        return response

    async def run() -> bytes:
        (port,) = free_ports(1)
        async with listen(handle, "127.0.0.1", port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return answer

    answer = asyncio.run(run())
    first, last = writes
    assert first.startswith(b"HTTP/1.1 200 OK\r\n") and first.endswith(b"\r\n\r\n3\r\none\r\n")
    assert last == b"3\r\ntwo\r\n0\r\n\r\n"
    assert answer == first + last

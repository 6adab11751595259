"""TLS before a plain server, as a gateway has it: a front that ends TLS.

The front hands the bytes on, whatever their protocol; HTTP/2, and so gRPC, is agreed on by ALPN.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from threading import Thread

from tests.support.certificates import Authority, Identity


@contextmanager
def tls_front(
    plain: str, authority: Authority, *, mutual: bool = False, shown: Identity | None = None
) -> Iterator[str]:
    """Serve what listens at `plain` (host:port) over TLS inside the block, and give the address.

    With `mutual`, callers need a certificate of the authority; `shown` is what callers get instead of the server's.
    """
    shown = shown or authority.server
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.cert, shown.key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.ca.cert)
    address: Future[str] = Future()
    over = asyncio.Event()

    async def serve() -> None:
        async with _front(plain, context) as at:
            address.set_result(at)
            await over.wait()

    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield address.result(60)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


@asynccontextmanager
async def _front(plain: str, context: ssl.SSLContext) -> AsyncIterator[str]:
    writers: set[StreamWriter] = set()
    tasks: set[asyncio.Task[None]] = set()

    async def carry(source: StreamReader, sink: StreamWriter) -> None:
        try:
            with suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
        finally:
            sink.close()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        writers.add(writer)
        host, port = plain.split(":")
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        writers.add(inner_writer)
        await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer))

    def accept(reader: StreamReader, writer: StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*tasks)

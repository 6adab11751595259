"""A connection to Triton's HTTP over a transport that only notes what happens: whole chunks, back-pressure, ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.errors import LostError
from trimode.server.http1.backend_connection import MOST_HEAD, MOST_UNREAD, BackendConnection, Head, read_head

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
SILENCE = 60.0


class Noting(asyncio.Transport):
    """A transport without a network."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.reading = True
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.ended

    def abort(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.ended = True


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def on_one(
    use: Callable[[BackendConnection, Noting], Awaitable[None]], *came: bytes, silence: float = SILENCE
) -> Noting:
    """Let `use` have a connection on which a request was sent and this came; return its transport."""
    transport = Noting()

    async def run() -> None:
        connection = BackendConnection()
        connection.connection_made(transport)
        connection.send(b"request", silence)
        for data in came:
            connection.data_received(data)
        await use(connection, transport)
        connection.release()

    asyncio.run(run())
    return transport


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2", Head(200, "application/json", 2, True)),
        (b"HTTP/1.1 400 Bad Request\r\ncontent-type:a/b\r\ntransfer-encoding: Chunked", Head(400, "a/b", None, True)),
        (b"HTTP/1.1 503 \r\nContent-Length: 0\r\nConnection: close", Head(503, "application/json", 0, False)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1", Head(200, "application/json", 1, False)),
    ],
)
def test_heads(head: bytes, expected: Head) -> None:
    assert read_head(head) == expected


@pytest.mark.parametrize(
    "head", [b"junk", b"HTTP/2 200 OK\r\nContent-Length: 2", b"HTTP/1.1 OK\r\nContent-Length: 2", b"HTTP/1.1 200 OK"]
)
def test_what_is_no_head_is_lost(head: bytes) -> None:
    with pytest.raises(LostError, match="cannot be read"):
        read_head(head)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.data())
def test_however_an_answer_is_cut_its_chunks_come_whole(parts: list[bytes], data: st.DataObject) -> None:
    async def use(connection: BackendConnection, transport: Noting) -> None:
        assert await connection.started() == Head(200, "text/event-stream", None, True)
        assert await connection.next() == b"".join(parts)
        assert connection.complete and await connection.next() == b""

    whole = CHUNKED + b"".join(map(chunk, parts)) + END
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=8)))
    came = [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    transport = on_one(use, *came)
    assert transport.sent == b"request" and not transport.ended


def test_a_body_of_known_length_comes_once_it_is_whole() -> None:
    async def use(connection: BackendConnection, transport: Noting) -> None:
        assert not connection.complete
        connection.data_received(b"4")
        assert await connection.next() == b"1234"

    assert not on_one(use, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"12", b"3").ended


def test_a_slow_reader_stops_the_backend_until_it_has_read() -> None:
    async def use(connection: BackendConnection, transport: Noting) -> None:
        assert not transport.reading
        assert len(await connection.next()) == MOST_UNREAD + 1
        assert transport.reading

    on_one(use, CHUNKED, chunk(b"." * MOST_UNREAD), chunk(b"."))


@pytest.mark.parametrize(
    "came",
    [
        (b"." * (MOST_HEAD + 1),),
        (CHUNKED, b"." * (MOST_HEAD + 1)),
        (CHUNKED, b"-1\r\n"),
        (CHUNKED, b"1\r\nab\r\n"),
        (CHUNKED, b"0\r\nTrailer: 1\r\n\r\n"),
        (CHUNKED, chunk(b"a") + END + b"HTTP"),
    ],
    ids=["head", "no size", "below 0", "too long", "trailer", "goes on"],
)
def test_what_is_not_as_it_must_be_ends_the_connection(came: tuple[bytes, ...]) -> None:
    async def use(connection: BackendConnection, transport: Noting) -> None:
        assert transport.ended and not connection.usable

    on_one(use, *came)


def test_what_came_before_the_end_of_the_connection_is_read_first() -> None:
    async def use(connection: BackendConnection, transport: Noting) -> None:
        connection.connection_lost(None)
        assert await connection.next() == b"one"
        with pytest.raises(LostError):
            await connection.next()

    on_one(use, CHUNKED + chunk(b"one"))


def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    async def use(connection: BackendConnection, transport: Noting) -> None:
        assert await connection.next() == b"one"
        connection.release()
        assert connection.usable
        connection.data_received(b"HTTP/1.1 200 OK\r\n")
        assert not connection.usable

    on_one(use, CHUNKED + chunk(b"one") + END)


@pytest.mark.parametrize("came", [CHUNKED + chunk(b"one"), CHUNKED + chunk(b"one") + END], ids=["cut", "unread"])
def test_an_answer_that_is_left_takes_its_connection_along(came: bytes) -> None:
    async def use(connection: BackendConnection, transport: Noting) -> None:
        connection.release()
        assert not connection.usable

    assert on_one(use, came).ended


def test_silence_counts_only_while_somebody_waits() -> None:
    async def use(connection: BackendConnection, transport: Noting) -> None:
        await asyncio.sleep(0.1)
        assert await connection.next() == b"one"
        with pytest.raises(TimeoutError):
            await connection.next()

    assert on_one(use, CHUNKED + chunk(b"one"), silence=0.02).ended

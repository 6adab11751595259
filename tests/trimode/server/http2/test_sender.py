"""What streams send where windows are small, and how often they are asked for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, SupportsIndex

import pytest
from trimode.server.http2.connection import Connection
from trimode.server.http2.frames import DATA, HEAD, HEAD_BYTES, WINDOW_UPDATE, number_frame, settings
from trimode.server.http2.outbox import Outbox
from trimode.server.http2.receiver import NOBODY
from trimode.server.http2.sender import Sender
from trimode.server.http2.stream import LEAST_TAKEN, Stream

STREAMS = 256
LARGE = 2**20


class Kept(Connection):
    """A connection that keeps what it would send."""

    def __init__(self) -> None:
        super().__init__(Outbox())
        self.sent: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def stream(self, number: int, window: int) -> Stream:
        made = self.streams[number] = Stream(self, number, NOBODY, window, 0)
        return made

    def data_of(self, number: int) -> bytes:
        """What was sent on a stream."""
        found = b""
        for each in self.sent:
            _, _, kind, _, of = HEAD.unpack_from(each)
            if (kind, of) == (DATA, number):
                found += each[HEAD_BYTES:]
        return found


def play(act: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60):
            await act()

    asyncio.run(run())


def test_streams_that_their_own_window_blocks_are_not_asked_when_the_connections_grows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Stream] = []
    send_on = Stream.send_on

    def counted(stream: Stream) -> None:
        asked.append(stream)
        send_on(stream)

    monkeypatch.setattr(Stream, "send_on", counted)

    async def act() -> None:
        sender = Kept()
        sender.read_frames(settings(()))
        streams = [sender.stream(number, 0) for number in range(1, STREAMS + 1)]
        for stream in streams:
            stream.send(b"x" * 10)
        sender.read_frames(number_frame(WINDOW_UPDATE, 0, 1) * 1000)
        assert asked == []
        sender.read_frames(number_frame(WINDOW_UPDATE, 7, 4))
        assert sender.data_of(7) == b"x" * 4
        sender.read_frames(number_frame(WINDOW_UPDATE, 0, 1) * 1000)
        assert len(asked) == 1
        sender.read_frames(number_frame(WINDOW_UPDATE, 7, 6))
        assert (sender.data_of(7), streams[6].waiting_since) == (b"x" * 10, None)

    play(act)


def test_streams_with_room_of_their_own_go_on_when_the_connections_grows() -> None:
    async def act() -> None:
        sender = Kept()
        sender.read_frames(settings(()))
        sender.window = 0
        blocked, streams = sender.stream(9, 0), [sender.stream(number, 5) for number in (1, 2)]
        for stream in (blocked, *streams):
            stream.send(b"x" * 10)
        sender.read_frames(number_frame(WINDOW_UPDATE, 9, 5) + number_frame(WINDOW_UPDATE, 0, 100))
        assert [sender.data_of(number) for number in (1, 2, 9)] == 3 * [b"x" * 5]
        sender.read_frames(b"".join(number_frame(WINDOW_UPDATE, number, 5) for number in (1, 2, 9)))
        assert [sender.data_of(number) for number in (1, 2, 9)] == 3 * [b"x" * 10]

    play(act)


def test_a_stream_that_anothers_end_ends_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act() -> None:
        sender = Kept()
        sender.window = 0
        first, second = sender.stream(1, 100), sender.stream(2, 100)
        monkeypatch.setattr(first.receiver, "drained", second.close)
        first.send(b"x")
        second.send(b"y")
        sender.window = 100
        sender.send_waiting()
        assert (sender.data_of(1), sender.data_of(2)) == (b"x", b"")

    play(act)


class Counted(bytes):
    """Bytes that count how many of them are copied by slices, of slices too."""

    copied = 0

    def __getitem__(self, key: SupportsIndex | slice) -> Any:
        found = super().__getitem__(key)
        if isinstance(found, bytes):
            Counted.copied += len(found)
            return Counted(found)
        return found


def test_each_byte_of_a_large_message_is_copied_once_on_its_way_into_frames() -> None:
    async def act() -> None:
        sender = Kept()
        sender.window = 2 * LARGE
        message = Counted(bytes(range(256)) * (LARGE // 256))
        sender.stream(1, 2 * LARGE).send(message)
        assert sender.data_of(1) == message
        assert Counted.copied == LARGE

    play(act)


def test_a_message_goes_on_where_it_stopped() -> None:
    async def act() -> None:
        sender = Kept()
        stream = sender.stream(1, 3)
        stream.send(b"abcdefg")
        stream.send(b"hij")
        for _ in range(4):
            stream.widen(2)
        assert sender.data_of(1) == b"abcdefghij"
        assert stream.waiting_since is None

    play(act)


def test_a_connection_that_cannot_be_written_to_silences_no_other(caplog: pytest.LogCaptureFixture) -> None:
    flushed = []

    class Broken(Sender):
        def flush(self) -> None:
            raise RuntimeError("broken")

    class Whole(Sender):
        def flush(self) -> None:
            flushed.append(self)

    async def act() -> None:
        outbox = Outbox()
        broken, whole = Broken(outbox), Whole(outbox)

        def read(data: bytes) -> None:
            broken.write(data)
            whole.write(data)

        outbox.read(read, b"x")

    play(act)
    assert len(flushed) == 1
    assert "a connection could not be written to" in caplog.text


def test_a_byte_now_and_then_is_no_sign_of_a_reader() -> None:
    async def act() -> None:
        sender = Kept()
        stream = sender.stream(1, 0)
        stream.send(bytes(2 * LEAST_TAKEN))
        since = stream.waiting_since = time.monotonic() - 50
        for _ in range(LEAST_TAKEN - 1):
            stream.widen(1)
        assert stream.waiting_since == since
        stream.widen(1)
        assert stream.waiting_since > since
        stream.widen(LEAST_TAKEN)
        assert stream.waiting_since is None

    play(act)

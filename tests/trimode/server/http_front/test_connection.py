"""What a connection makes of bytes that are no request, of callers who are slow, and of callers who leave."""

from __future__ import annotations

import asyncio
import gzip
import logging

import pytest
from trimode.server.http_front import connection, listener
from trimode.server.serving import Limits

from tests.trimode.server.http_front.scene import GET, Caller, Scene, kind_of, play, post

WAIT = GET.replace(b"/", b"/wait", 1)
CHUNKED = b"Transfer-Encoding: chunked"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(connection, "REFUSED_SECONDS", 0.2)


UNREADABLE = {
    "no HTTP": (b"GARBAGE\r\n\r\n", 400, "bad_request"),
    "another method": (b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_request"),
    "a broken header": (b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", 400, "bad_request"),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
    "HTTP/0.9": (b"GET /\r\n\r\n", 505, "unsupported_version"),
    "HTTP/0.9 by name": (b"GET / HTTP/0.9\r\n\r\n", 505, "unsupported_version"),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505, "unsupported_version"),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, "unsupported_version"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported_version"),
    "a long header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + 9000 * b"x" + b"\r\n\r\n", 431, "header_too_large"),
    "a longer header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + 9_000_000 * b"x" + b"\r\n\r\n", 431, "header_too_large"),
    "a long line": (b"GET /" + 9000 * b"x" + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431, "header_too_large"),
    "many headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + 300 * b"A: x\r\n" + b"\r\n", 431, "header_too_large"),
    "two lengths": (post(b"x", b"Content-Length: 2"), 400, "bad_request"),
    "length and chunks": (post(b"1\r\nx\r\n0\r\n\r\n", CHUNKED), 400, "bad_request"),
    "a broken chunk": (post(b"zz\r\n", CHUNKED, length=-1), 400, "bad_request"),
    "chunks that are not last": (post(b"", CHUNKED + b", gzip", length=-1), 400, "bad_request"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_request_is_answered_in_json_and_is_a_line_in_the_log(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent, status, kind = UNREADABLE[name]

    async def act(scene: Scene) -> None:
        async with await scene.call() as caller:
            caller.send(sent)
            assert kind_of(await caller.answer()) == (status, kind)
            assert await caller.ended()
        assert kind_of(await scene.ask(sent)) == (status, kind)
        assert await scene.ask(GET) == (200, {"length": 0})

    play(act)
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) <= 2
    assert not any(record.exc_info or "\n" in record.getMessage() for record in said)


BODIES = {
    "plain": (post(b"abc"), 200, {"length": 3}),
    "identity": (post(b"abc", b"Content-Encoding: identity"), 200, {"length": 3}),
    "gzip": (post(gzip.compress(b"abc"), b"Content-Encoding: GZIP"), 200, {"length": 3}),
    "not gzip": (post(b"abc", b"Content-Encoding: gzip"), 400, "bad_json"),
    "a bomb": (post(gzip.compress(bytes(100_000)), b"Content-Encoding: gzip"), 413, "too_large"),
    "large": (post(bytes(1001)), 413, "too_large"),
    "large in chunks": (post(b"3e9\r\n" + bytes(1001) + b"\r\n0\r\n\r\n", CHUNKED, length=-1), 413, "too_large"),
    "brotli": (post(b"abc", b"Content-Encoding: br"), 415, "unsupported_encoding"),
    "zstandard": (post(b"abc", b"Content-Encoding: zstd"), 415, "unsupported_encoding"),
    "unknown": (post(b"abc", b"Content-Encoding: x\xff"), 415, "unsupported_encoding"),
    "twice": (post(b"abc", b"Content-Encoding: gzip, gzip"), 415, "unsupported_encoding"),
    "two headers": (post(b"abc", b"Content-Encoding: gzip", b"Content-Encoding: br"), 415, "unsupported_encoding"),
    "chunks": (post(b"3\r\nabc\r\n0\r\n\r\n", CHUNKED, length=-1), 200, {"length": 3}),
    "gzip in chunks": (
        post(b"3\r\nabc\r\n0\r\n\r\n", b"Transfer-Encoding: gzip, chunked", length=-1), 415, "unsupported_encoding",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_the_encoding_of_a_body_is_honoured_or_refused(name: str, caplog: pytest.LogCaptureFixture) -> None:
    sent, status, wanted = BODIES[name]

    async def act(scene: Scene) -> None:
        answer = await scene.ask(sent)
        assert (answer if status == 200 else kind_of(answer)) == (status, wanted)
        assert await scene.ask(GET) == (200, {"length": 0})

    play(act)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_chunk_that_breaks_later_ends_the_request() -> None:
    async def act(scene: Scene) -> None:
        async with await scene.call() as caller:
            caller.send(post(b"3\r\nabc\r\n", CHUNKED, length=-1))
            await scene.until(lambda: scene.begun == 1)
            caller.send(b"zz\r\n")
            assert kind_of(await caller.answer()) == (400, "bad_request")
            assert await caller.ended()

    play(act)


def test_a_head_that_does_not_end_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)

    async def act(scene: Scene) -> None:
        async with await scene.call() as caller:
            caller.send(GET)
            assert await caller.answer() == (200, {"length": 0})
            await asyncio.sleep(0.2)  # an idle connection is no late head
            caller.send(GET[:10])
            assert kind_of(await caller.answer()) == (408, "request_timeout")
            assert await caller.ended()

    play(act)


def test_a_body_that_does_not_come_is_a_timeout_of_the_request() -> None:
    async def act(scene: Scene) -> None:
        assert kind_of(await scene.ask(post(b"abc", length=9))) == (408, "request_timeout")

    play(act, limits=Limits(upload_seconds=0.1))


def test_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.1)

    async def act(scene: Scene) -> None:
        async with await scene.call() as silent, await scene.call() as served:
            served.send(GET)
            assert await served.answer() == (200, {"length": 0})
            assert await silent.ended()
            assert await served.ended()

    play(act)


def test_a_body_that_nobody_read_is_no_late_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.1)

    async def act(scene: Scene) -> None:
        async with await scene.call() as caller:
            caller.send(post(b"abc", b"Content-Encoding: br", length=9))
            assert kind_of(await caller.answer()) == (415, "unsupported_encoding")
            caller.send(b"defghi")
            await asyncio.sleep(0.3)
            caller.send(GET)
            assert await caller.answer() == (200, {"length": 0})

    play(act)


def test_a_caller_who_does_not_read_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "WRITE_SECONDS", 0.1)

    async def act(scene: Scene) -> None:
        async with await scene.call() as caller:
            caller.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
            for _ in range(200_000):
                caller.send(GET)
                if caller.writer.transport.get_write_buffer_size() > 2**20:
                    break
            before = -1
            while before < scene.begun:  # until the listener is stuck, or has ended the connection
                before = scene.begun
                await asyncio.sleep(0.3)
            caller.writer.transport.resume_reading()  # type: ignore[attr-defined]
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                while True:
                    await caller.answer()

    play(act)


def test_a_caller_who_only_stops_sending_gets_the_answer() -> None:
    async def act(scene: Scene) -> None:
        async with await scene.call() as caller:
            caller.send(WAIT)
            caller.writer.write_eof()
            await scene.until(lambda: scene.begun == 1)
            asyncio.get_running_loop().call_later(0.1, scene.go.set)
            assert await caller.answer() == (200, {"length": 0})
            assert caller.interim > 0  # by which it was seen that somebody still listens
            assert await caller.ended()

    play(act)


def test_several_requests_are_answered_after_the_caller_stopped_sending() -> None:
    async def act(scene: Scene) -> None:
        async with await scene.call() as caller:
            caller.send(3 * post(b"abc"))
            caller.writer.write_eof()
            assert [await caller.answer() for _ in range(3)] == 3 * [(200, {"length": 3})]
            assert await caller.ended()

    play(act)


@pytest.mark.parametrize("sent", [GET[:10], post(b"abc", length=9)], ids=["head", "body"])
def test_a_request_that_ends_too_early_is_refused(sent: bytes) -> None:
    async def act(scene: Scene) -> None:
        async with await scene.call() as caller:
            caller.send(sent)
            caller.writer.write_eof()
            assert kind_of(await caller.answer()) == (400, "bad_request")
            assert await caller.ended()

    play(act)


def test_a_caller_who_leaves_cancels_the_request_and_is_no_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def leaving(scene: Scene, caller: Caller, count: int) -> None:
        caller.send(WAIT)
        await scene.until(lambda: scene.begun == count)
        await caller.leave()
        await scene.until(lambda: scene.cancelled == count)

    async def act(scene: Scene) -> None:
        for count in (1, 2, 3):
            await leaving(scene, await scene.call(), count)

    play(act)
    assert caplog.records == []

"""What a caller sends before it has its answer: other requests, what cannot be read, and too much."""

from __future__ import annotations

import pytest
from trimode.errors import Refusal
from trimode.server.http_front import connection, listener
from trimode.server.http_front.ahead import AHEAD_BYTES, Ahead

from tests.trimode.server.http_front.scene import GET, Scene, kind_of, play, post

WAIT = GET.replace(b"/", b"/wait", 1)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(connection, "REFUSED_SECONDS", 0.2)


@pytest.mark.parametrize("junk", [b"JUNK\r\n\r\n", b"\x16\x03\x01\x02", b"POST / HTTP/1.1\r\nbad header\r\n\r\n"])
@pytest.mark.parametrize("request_", [post(b"abc"), WAIT], ids=["quick", "slow"])
def test_what_follows_a_request_in_its_packet_and_cannot_be_read_is_refused_after_the_answer(
    junk: bytes, request_: bytes
) -> None:
    async def act(scene: Scene) -> None:
        async with await scene.call() as caller:
            caller.send(request_ + junk)
            await scene.until(lambda: scene.begun == 1)
            scene.go.set()
            assert (await caller.answer())[0] == 200
            assert kind_of(await caller.answer()) == (400, "bad_request")
            assert await caller.ended()

    play(act)


@pytest.mark.parametrize("apart", [False, True])
def test_requests_that_are_sent_ahead_are_answered_in_turn(apart: bool) -> None:
    async def act(scene: Scene) -> None:
        async with await scene.call() as caller:
            caller.send(WAIT)
            if apart:
                await scene.until(lambda: scene.begun == 1)
            for size in (1, 2, 900):
                caller.send(post(bytes(size)))
            await scene.until(lambda: scene.begun == 1)
            scene.go.set()
            assert [(await caller.answer())[1]["length"] for _ in range(4)] == [0, 1, 2, 900]
            caller.send(GET)
            assert await caller.answer() == (200, {"length": 0})

    play(act)


def test_who_sends_too_much_ahead_gets_its_answer_and_is_refused() -> None:
    async def act(scene: Scene) -> None:
        async with await scene.call() as caller:
            caller.send(WAIT)
            await scene.until(lambda: scene.begun == 1)
            caller.send(3000 * post(bytes(900)))
            (served,) = scene.connections
            await scene.until(lambda: served._ahead.too_much)
            scene.go.set()
            assert (await caller.answer())[0] == 200
            assert await caller.answer() == (
                400,
                {"error": "bad_request: at most 65536 bytes may be sent before an answer"},
            )
            assert await caller.ended()
        assert scene.begun == 1

    play(act)


@pytest.mark.parametrize("ahead", [GET, 40_000 * GET, post(bytes(2**21))], ids=["one", "many", "one large"])
def test_a_caller_who_sends_ahead_and_leaves_leaves_nothing_running(ahead: bytes) -> None:
    async def act(scene: Scene) -> None:
        caller = await scene.call()
        caller.send(WAIT)
        await scene.until(lambda: scene.begun == 1)
        caller.send(ahead)
        await caller.leave()
        await scene.until(lambda: scene.cancelled == 1)

    play(act)


def test_what_is_kept_is_given_once_and_too_much_of_it_never() -> None:
    ahead = Ahead()
    for part in (b"a", bytes(AHEAD_BYTES - 1)):
        ahead.keep(part)
    assert ahead.take() == b"a" + bytes(AHEAD_BYTES - 1)
    assert ahead.take() == b""
    ahead.keep(bytes(AHEAD_BYTES + 1))
    with pytest.raises(Refusal, match=f"at most {AHEAD_BYTES} bytes may be sent before an answer"):
        ahead.take()

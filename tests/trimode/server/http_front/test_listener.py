"""How many connections there may be, and who makes room."""

from __future__ import annotations

import asyncio
import errno

import pytest
from trimode.server.http_front import connection, listener

from tests.trimode.server.http_front.scene import GET, Scene, play

WAIT = GET.replace(b"/", b"/wait", 1)
FULL = (503, {"error": "overloaded: 3 connections are open and busy"})


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(connection, "REFUSED_SECONDS", 0.2)


def test_the_connection_that_was_idle_for_longest_makes_room() -> None:
    async def act(scene: Scene) -> None:
        first, second, third = [await scene.call() for _ in range(3)]
        for caller in (first, second, third):
            caller.send(GET)
            await caller.answer()
        first.send(GET)  # the second has been idle for longest now
        await first.answer()
        assert await scene.ask(GET) == (200, {"length": 0})
        assert await second.ended()
        for caller in (first, third):
            caller.send(GET)
            assert await caller.answer() == (200, {"length": 0})
        for caller in (first, second, third):
            await caller.leave()

    play(act, most=3)


def test_where_all_are_busy_a_caller_is_refused_until_one_is_free(caplog: pytest.LogCaptureFixture) -> None:
    async def act(scene: Scene) -> None:
        callers = [await scene.call() for _ in range(3)]
        for caller in callers:
            caller.send(WAIT)
        await scene.until(lambda: scene.begun == 3)
        assert await scene.ask(GET) == FULL
        assert [await scene.ask() for _ in range(5)] == 5 * [FULL]
        scene.go.set()
        for caller in callers:
            assert await caller.answer() == (200, {"length": 0})
        assert await scene.ask(GET) == (200, {"length": 0})
        for caller in callers:
            await caller.leave()

    play(act, most=3)
    assert [record.getMessage() for record in caplog.records] == [
        "a connection was refused: 3 are open and busy, see --max-connections"
    ]


def test_refused_callers_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REFUSED_SECONDS", 60.0)
    monkeypatch.setattr(listener, "MOST_REFUSED", 2)

    async def act(scene: Scene) -> None:
        busy = await scene.call()
        busy.send(WAIT)
        await scene.until(lambda: scene.begun == 1)
        refused = [await scene.call() for _ in range(4)]
        for caller in refused:
            assert (await caller.answer())[0] == 503
        for caller in refused[:2]:
            assert await caller.ended()
        for caller in (busy, *refused):
            await caller.leave()

    play(act, most=1)


def test_timers_of_one_connection_that_fail_do_not_end_those_of_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.3)
    watch, failures = connection.Connection.watch, [ZeroDivisionError("a bug")]

    def fail_once(self: connection.Connection, now: float) -> None:
        if failures:
            raise failures.pop()
        watch(self, now)

    monkeypatch.setattr(connection.Connection, "watch", fail_once)

    async def act(scene: Scene) -> None:
        async with await scene.call() as caller:
            assert await caller.ended()

    play(act)
    (record,) = caplog.records
    assert record.getMessage() == "a connection's timers failed" and record.exc_info


def test_a_connection_that_cannot_be_accepted_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def act(scene: Scene) -> None:
        context = {"message": "socket.accept() out of system resource", "exception": OSError(errno.EMFILE, "no files")}
        for _ in range(9):
            asyncio.get_running_loop().call_exception_handler(context)

    play(act)
    (record,) = caplog.records
    assert record.getMessage() == "a connection could not be accepted: no files"
    assert not record.exc_info

"""How many connections there may be, and who makes room."""

from __future__ import annotations

import asyncio
import errno

import pytest
from trimode.server.http_front import connection, listener

from tests.trimode.server.http_front.scene import GET, Caller, Scene, play, post

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
        "a connection was refused: 3 are open and busy, see --max-connections",
        "idle connections made room: 3 are open, see --max-connections",
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


OTHER = "127.0.0.2"
MADE_ROOM = (503, {"error": "overloaded: the connection was slow, and made room for another caller"})


async def slow_ones(scene: Scene, *began: bytes) -> list[Caller]:
    """Callers at one address that send so much of a request each, one after another."""
    callers = []
    for part in began:
        callers.append(await scene.call())
        callers[-1].send(part)
        await asyncio.sleep(0.05)  # so that one is older than the next
    return callers


@pytest.mark.parametrize(
    "began", [b"GET / HT", post(b"", length=900), post(b"xyz", b"Content-Encoding: gzip", length=9)]
)
def test_the_oldest_unfinished_request_of_the_greediest_caller_makes_room_for_another(began: bytes) -> None:
    async def act(scene: Scene) -> None:
        first, *others = await slow_ones(scene, *3 * [began])
        assert await scene.ask(GET) == FULL  # not for itself
        assert await scene.ask(GET, address=OTHER) == (200, {"length": 0})
        assert await first.answer() == MADE_ROOM
        assert await first.ended()
        for caller in (first, *others):
            await caller.leave()

    play(act, most=3)


def test_what_is_idle_makes_room_before_what_is_unfinished() -> None:
    async def act(scene: Scene) -> None:
        slow, idle = *await slow_ones(scene, b"GET / HT"), await scene.call()
        idle.send(GET)
        await idle.answer()
        another = await scene.call()
        another.send(WAIT)
        await scene.until(lambda: scene.begun == 2)
        assert await scene.ask(GET, address=OTHER) == (200, {"length": 0})
        assert await idle.ended()
        slow.send(GET[8:])
        assert await slow.answer() == (200, {"length": 0})
        for caller in (slow, idle, another):
            await caller.leave()

    play(act, most=3)


def test_a_caller_with_few_connections_keeps_them_when_another_has_more() -> None:
    async def act(scene: Scene) -> None:
        modest = await scene.call(OTHER)
        modest.send(GET)
        await modest.answer()
        greedy = await slow_ones(scene, *3 * [b"GET / HT"])
        assert await scene.ask(GET) == (503, {"error": "overloaded: 4 connections are open and busy"})
        assert await scene.ask(GET, address="127.0.0.3") == (200, {"length": 0})
        modest.send(GET)
        assert await modest.answer() == (200, {"length": 0})
        for caller in (modest, *greedy):
            await caller.leave()

    play(act, most=4)


def test_what_runs_makes_room_for_nobody() -> None:
    async def act(scene: Scene) -> None:
        running = await slow_ones(scene, *3 * [WAIT])
        await scene.until(lambda: scene.begun == 3)
        assert await scene.ask(GET, address=OTHER) == FULL
        scene.go.set()
        for caller in running:
            assert await caller.answer() == (200, {"length": 0})
            await caller.leave()

    play(act, most=3)


def test_callers_with_as_many_connections_do_not_take_them_from_each_other() -> None:
    async def act(scene: Scene) -> None:
        ones = await slow_ones(scene, b"GET / HT", b"GET / HT")
        other = await scene.call(OTHER)
        other.send(b"GET / HT")
        await asyncio.sleep(0.05)
        assert await scene.ask(GET, address=OTHER) == FULL  # two would be as many as the first one has
        for caller in (*ones, other):
            caller.send(GET[8:])
            assert await caller.answer() == (200, {"length": 0})
            await caller.leave()

    play(act, most=3)


def test_who_does_not_read_an_answer_makes_room() -> None:
    async def act(scene: Scene) -> None:
        readers = await slow_ones(scene, *3 * [GET.replace(b"/", b"/large", 1)])
        await scene.until(lambda: scene.paused == 3)
        assert await scene.ask(GET, address=OTHER) == (200, {"length": 0})
        for caller in readers:
            await caller.leave()

    play(act, most=3)

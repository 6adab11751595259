"""The port: how many connections there may be, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
from trimode.server.grpc_front.framing import framed
from trimode.server.grpc_front.listener import listen
from trimode.server.http2 import frames
from trimode.server.http_front.listener import HANDSHAKE_SECONDS
from trimode.server.ports import free_port

from tests.support.http2_caller import EMPTY_MESSAGE, LIVE, STREAM, RawCaller
from tests.support.kserve import Scene, Triton, play, request

MOST = 4


def test_where_something_runs_on_all_connections_one_more_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    async def act(scene: Scene) -> None:
        port = free_port(())
        async with listen(scene.front, "127.0.0.1", port, 1):
            first = await RawCaller.to(f"127.0.0.1:{port}")
            first.call(1, STREAM)
            first.data(1, framed(request().SerializeToString()))
            while not scene.triton.asked:
                await asyncio.sleep(0.01)
            second = await RawCaller.to(f"127.0.0.1:{port}")
            await second.ended()
            first.call(3, LIVE)
            first.data(3, EMPTY_MESSAGE, last=True)
            assert (await first.fields())[":status"] == "200"
            first.close()

    play(act, lambda: Triton(lambda asked: []))
    assert "a gRPC connection was refused: 1 are open and busy" in caplog.text


def test_a_caller_that_holds_all_connections_keeps_no_other_out_and_no_request_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def act(scene: Scene) -> None:
        port = free_port(())
        async with listen(scene.front, "127.0.0.1", port, MOST) as keeper:
            running = await RawCaller.to(f"127.0.0.1:{port}")
            running.call(1, STREAM)
            running.data(1, framed(request().SerializeToString()))
            while not scene.triton.asked:
                await asyncio.sleep(0.01)
            many = [await RawCaller.to(f"127.0.0.1:{port}") for _ in range(3 * MOST)]
            await many[-1].frame(frames.SETTINGS)  # the newest is kept, the oldest made room
            await many[0].ended()
            other = await RawCaller.to(f"127.0.0.1:{port}", source="127.0.0.2")
            await other.frame(frames.SETTINGS)
            assert len(keeper.all) == MOST
            running.call(3, LIVE)
            running.data(3, EMPTY_MESSAGE, last=True)
            assert (await running.fields())[":status"] == "200"
            for caller in (running, other, *many):
                caller.close()

    play(act, lambda: Triton(lambda asked: []))
    assert "idle gRPC connections made room: 4 are open" in caplog.text


def test_a_caller_with_few_connections_makes_no_room_for_one_with_many() -> None:
    async def act(scene: Scene) -> None:
        port = free_port(())
        async with listen(scene.front, "127.0.0.1", port, MOST) as keeper:
            modest = await RawCaller.to(f"127.0.0.1:{port}", source="127.0.0.2")
            await modest.frame(frames.SETTINGS)
            many = [await RawCaller.to(f"127.0.0.1:{port}") for _ in range(2 * MOST)]
            await many[-1].frame(frames.SETTINGS)
            assert {connection.caller for connection in keeper.all} == {"127.0.0.1", "127.0.0.2"}
            for caller in (modest, *many):
                caller.close()

    play(act)


def test_a_handshake_has_as_long_as_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    async def act(scene: Scene) -> None:
        loop = asyncio.get_running_loop()
        listening = loop.create_server

        async def listened(*args: Any, ssl: Any, ssl_handshake_timeout: float | None, **more: Any) -> Any:
            given.append({"ssl": ssl, "seconds": ssl_handshake_timeout})
            return await listening(*args, **more)

        monkeypatch.setattr(loop, "create_server", listened)
        secure: Any = SimpleNamespace(http2_context="a context")
        for tls in (None, secure):
            scene.front.entry = dataclasses.replace(scene.front.entry, tls=tls)
            async with listen(scene.front, "127.0.0.1", free_port(())):
                pass

    play(act)
    assert given == [{"ssl": None, "seconds": None}, {"ssl": "a context", "seconds": HANDSHAKE_SECONDS}]


def test_a_caller_hears_that_the_server_ends() -> None:
    async def act(scene: Scene) -> None:
        port = free_port(())
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(listen(scene.front, "127.0.0.1", port))
            caller = await RawCaller.to(f"127.0.0.1:{port}")
            await caller.frame(frames.SETTINGS)
            ending = asyncio.create_task(stack.pop_all().aclose())
            assert await caller.fault() == (frames.NO_ERROR, "the server is stopping")
            await ending

    play(act)


def test_answers_that_nobody_reads_keep_no_other_caller_out() -> None:
    async def act(scene: Scene) -> None:
        port = free_port(())
        async with listen(scene.front, "127.0.0.1", port, MOST) as keeper:
            many = [await RawCaller.to(f"127.0.0.1:{port}", [(frames.INITIAL_WINDOW_SIZE, 0)]) for _ in range(MOST)]
            for caller in many:
                caller.call(1, STREAM)
                caller.data(1, EMPTY_MESSAGE)
            while len(scene.front._relays) < MOST or not all(relay.blocked for relay in scene.front._relays):
                await asyncio.sleep(0.01)
            other = await RawCaller.to(f"127.0.0.1:{port}", source="127.0.0.2")
            await other.frame(frames.SETTINGS)
            assert len(keeper.all) == MOST
            for caller in (other, *many):
                caller.close()

    play(act)

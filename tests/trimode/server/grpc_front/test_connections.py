"""Who makes room for new gRPC connections: the silent ones of the caller that has the most."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection

import grpc
import pytest
from trimode.server.grpc_front import connections
from trimode.server.grpc_front.connections import Held, peer_in, to_end
from trimode.server.grpc_front.front import listen
from trimode.server.ports import LOOPBACK, free_port
from tritonclient.grpc import service_pb2_grpc as stubs

from tests.support.kserve import Scene, Triton, play, request

MOST = 16
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How an HTTP/2 connection begins: with its preface and a frame of settings, which the server answers by its own."""


def held(caller: str, *silent_ms: int) -> list[Held]:
    return [Held((caller, 1000 + number), caller, silent) for number, silent in enumerate(silent_ms)]


def ended(held: list[Held], most: int, busy: Collection[tuple[str, int]] = ()) -> list[tuple[str, int]]:
    return [one.peer for one in to_end(held, busy, most)]


def test_nothing_is_ended_while_one_in_eight_is_free() -> None:
    assert ended(held("a", *range(1000, 1014)), MOST) == []
    assert ended(held("a", *range(1000, 1015)), MOST) == [("a", 1014)]


def test_the_most_silent_ones_of_the_caller_with_the_most_are_ended() -> None:
    greedy, modest = held("a", *range(2000, 2012)), held("b", 9000, 8000, 7000, 6000)
    assert ended(greedy + modest, MOST) == [("a", 1011), ("a", 1010)]


def test_callers_with_as_many_take_turns() -> None:
    found = ended(held("a", *8 * [1000]) + held("b", *8 * [1000]), MOST)
    assert sorted(caller for caller, _ in found) == ["a", "b"]


def test_what_is_busy_or_was_just_opened_is_kept() -> None:
    ones = held("a", *14 * [5000], 999, 0)
    assert ended(ones, MOST, {one.peer for one in ones[2:]}) == [("a", 1001), ("a", 1000)]
    assert ended(ones, MOST, {one.peer for one in ones[1:]}) == [("a", 1000)]
    assert ended(ones, MOST, {one.peer for one in ones}) == []


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("ipv4:10.0.0.7:51234", ("10.0.0.7", 51234)),
        ("ipv6:%5B2001:db8::1%5D:7", ("2001:db8::1", 7)),
        ("ipv6:[::ffff:10.0.0.7]:7", ("10.0.0.7", 7)),
        ("unix:", None),
        ("", None),
    ],
)
def test_the_peer_in_grpcs_name_for_it(text: str, peer: tuple[str, int] | None) -> None:
    assert peer_in(text) == peer


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError("no file left"), []), (ZeroDivisionError(), ["gRPC's connections could not be looked after"])],
)
def test_looking_after_connections_goes_on_when_it_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, said: list[str]
) -> None:
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.01)
    again = asyncio.Event()
    errors = [error]

    def busy() -> set[tuple[str, int]]:
        if errors:
            raise errors.pop()
        again.set()
        return set()

    async def run() -> None:
        watching = asyncio.create_task(connections.Connections(1, MOST, busy).watch())
        async with asyncio.timeout(20):
            await again.wait()
        watching.cancel()

    asyncio.run(run())
    assert [record.getMessage() for record in caplog.records] == said


class Caller:
    """One connection without a call."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def at(cls, address: str, port: int) -> Caller:
        made = cls(*await asyncio.open_connection(LOOPBACK, port, local_addr=(address, 0)))
        made.writer.write(HELLO)
        return made

    async def accepted(self) -> bool:
        """Whether the server speaks to it; a connection that is refused ends."""
        with contextlib.suppress(ConnectionError):
            return await self.reader.read(1) != b""
        return False

    async def leave(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def test_a_caller_that_holds_all_connections_keeps_no_other_out_and_no_request_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connections, "LEAST_SILENT_MS", 0)
    monkeypatch.setattr(connections, "SWEEP_SECONDS", 0.05)

    async def act(scene: Scene) -> None:
        port = free_port(())
        async with (
            listen(scene.front, LOOPBACK, port, MOST),
            grpc.aio.insecure_channel(f"{LOOPBACK}:{port}") as channel,
        ):
            running = stubs.GRPCInferenceServiceStub(channel).ModelStreamInfer()
            await running.write(request())
            while not scene.triton.asked:
                await asyncio.sleep(0.01)
            callers = [await Caller.at(LOOPBACK, port) for _ in range(3 * MOST)]
            while True:
                callers.append(await Caller.at("127.0.0.2", port))
                if await callers[-1].accepted():
                    break
            assert not running.done()
            running.cancel()
            for caller in callers:
                await caller.leave()

    play(act, lambda: Triton(answer=lambda asked: []))
    assert {"silent gRPC connections made room" in record.getMessage() for record in caplog.records} == {True}

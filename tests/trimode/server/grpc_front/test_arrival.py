"""What messages may hold while they arrive, together with bodies over HTTP, and how long they may take."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Callable

import grpc
import pytest
from trimode.server.grpc_front.framing import MessageReader, framed
from trimode.server.grpc_front.gatekeeper import MOST_OPEN_BYTES, OPEN_CALLS
from trimode.server.http2 import frames
from trimode.server.http_front.bodies import Bodies
from trimode.server.http_front.body import decoded
from tritonclient.grpc import service_pb2 as pb

from tests.support.http2_caller import LIVE, STREAM, RawCaller
from tests.support.kserve import Scene, play, request

MOST = 40_000
PART = 15_000
CONFIG = "/inference.GRPCInferenceService/ModelConfig"
FULL = f"overloaded: the bodies that are being read may hold {MOST} bytes together"
MADE_ROOM = "overloaded: the body made room for another caller's: too much was being read at once"
GOOD = framed(request("good").SerializeToString())


def message(size: int) -> bytes:
    return framed(request("large", filler="x" * size).SerializeToString())


async def until(state: Callable[[], bool]) -> None:
    while not state():
        await asyncio.sleep(0.01)


async def begun(scene: Scene, path: str, *, source: str = "127.0.0.1", size: int = PART) -> RawCaller:
    """A caller of whose message `size` bytes have come."""
    bodies = scene.front._limits.bodies
    before = bodies._total
    caller = await RawCaller.to(scene.address, source=source)
    caller.call(1, path)
    caller.data(1, message(2 * PART)[:size])
    await until(lambda: bodies._total == before + size)
    return caller


async def response(caller: RawCaller) -> pb.ModelStreamInferResponse:
    return pb.ModelStreamInferResponse.FromString((await caller.frame(frames.DATA)).payload[5:])


async def status(caller: RawCaller) -> tuple[str, str]:
    found = await caller.fields()
    while "grpc-status" not in found:
        found = await caller.fields()
    return found["grpc-status"], found["grpc-message"]


def test_messages_count_together_with_bodies_over_http_and_a_stream_goes_on() -> None:
    bodies = Bodies(MOST)

    async def act(scene: Scene) -> None:
        bodies.grow(http := bodies.begin("another"), MOST - PART)
        caller = await begun(scene, STREAM)
        caller.data(1, message(2 * PART)[PART : PART + 1])
        assert (await response(caller)).error_message == FULL
        caller.data(1, message(2 * PART)[PART + 1 : 2 * PART])
        caller.data(1, message(2 * PART)[2 * PART :] + GOOD)
        assert (await response(caller)).infer_response.id == "good"
        assert bodies._total == MOST - PART
        bodies.end(http)
        caller.data(1, message(PART)[:PART])
        caller.data(1, message(PART)[PART:])
        assert (await response(caller)).infer_response.id == "large"
        assert bodies._total == 0
        caller.close()

    play(act, bodies=bodies)


def test_a_call_with_one_answer_that_finds_no_room_ends() -> None:
    bodies = Bodies(MOST)

    async def act(scene: Scene) -> None:
        bodies.grow(bodies.begin("another"), MOST)
        caller = await RawCaller.to(scene.address)
        caller.call(1, CONFIG)
        caller.data(1, GOOD)  # whole, and yet held until its caller has sent all
        assert await status(caller) == (str(grpc.StatusCode.UNAVAILABLE.value[0]), FULL)
        assert bodies._total == MOST
        caller.close()

    play(act, bodies=bodies)


@pytest.mark.parametrize("path", [STREAM, CONFIG])
def test_the_caller_with_the_most_makes_room_for_another(path: str) -> None:
    bodies = Bodies(MOST)

    async def act(scene: Scene) -> None:
        first = await begun(scene, path)
        second = await begun(scene, path, size=PART - 1)
        bodies.grow(bodies.begin("127.0.0.9"), MOST - 2 * PART + 2)
        if path == STREAM:
            assert (await response(first)).error_message == MADE_ROOM
        else:
            assert (await status(first))[1] == MADE_ROOM
        assert bodies._total == MOST - 2 * PART + 2 + PART - 1
        second.close()
        await until(lambda: bodies._total == MOST - 2 * PART + 2)
        first.close()

    play(act, bodies=bodies)


def test_what_waits_for_a_slow_reader_counts_and_is_given_up_with_its_stream() -> None:
    bodies = Bodies(MOST)

    async def act(scene: Scene) -> None:
        caller = await RawCaller.to(scene.address, [(frames.INITIAL_WINDOW_SIZE, 0)])
        caller.call(1, STREAM)
        caller.data(1, framed(b"\xff"))  # its refusal is not read
        for _ in range(2):
            caller.data(1, bytes(PART))
        await until(lambda: bodies._total == 2 * PART)
        bodies.grow(bodies.begin("another"), MOST - PART - 1)
        assert (await caller.frame(frames.RST_STREAM)).number == 1
        assert bodies._total == MOST - PART - 1
        caller.close()

    play(act, bodies=bodies)


@pytest.mark.parametrize("path", [STREAM, CONFIG])
def test_a_message_that_does_not_arrive_in_time_ends_its_call(path: str) -> None:
    async def act(scene: Scene) -> None:
        caller = await begun(scene, path)
        assert await status(caller) == ("3", "request_timeout: a message took more than 0.1 s to arrive")
        assert scene.front._limits.bodies._total == 0
        caller.close()

    play(act, upload_seconds=0.1)


def test_a_call_with_one_answer_that_sends_nothing_ends_and_a_stream_between_messages_stays() -> None:
    async def act(scene: Scene) -> None:
        caller = await RawCaller.to(scene.address)
        caller.call(1, STREAM)
        caller.data(1, GOOD)
        assert (await response(caller)).infer_response.id == "good"
        caller.call(3, LIVE)
        ended = await caller.frame(frames.HEADERS)
        assert (ended.number, b"request_timeout" in ended.payload) == (3, True)
        caller.data(1, GOOD)
        assert (await response(caller)).infer_response.id == "good"
        caller.close()

    play(act, upload_seconds=0.1)


@pytest.mark.parametrize("path", OPEN_CALLS)
def test_a_message_about_health_is_small(path: str) -> None:
    async def act(scene: Scene) -> None:
        caller = await RawCaller.to(scene.address)
        caller.call(1, path)
        caller.data(1, framed(bytes(MOST_OPEN_BYTES + 1))[:-1])
        said = f"too_large: a message must be at most {MOST_OPEN_BYTES} bytes, got {MOST_OPEN_BYTES + 1}"
        assert (await status(caller))[1] == said
        caller.close()

    play(act)


def test_compressed_messages_are_decoded_in_a_thread_and_stay_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def noted(*asked: object) -> bytes:
        threads.append(threading.current_thread())
        return decoded(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr("trimode.server.grpc_front.incoming.decoded", noted)

    def compressed(name: str) -> bytes:
        return b"\x01" + framed(gzip.compress(request(name).SerializeToString()))[1:]

    async def act(scene: Scene) -> None:
        caller = await RawCaller.to(scene.address)
        caller.call(1, STREAM, ("grpc-encoding", "gzip"))
        caller.data(1, compressed("a") + framed(request("b").SerializeToString()) + compressed("c"))
        caller.data(1, framed(request("d").SerializeToString()), last=True)
        assert [(await response(caller)).infer_response.id for _ in range(4)] == ["a", "b", "c", "d"]
        assert scene.front._limits.bodies._total == 0
        caller.close()

    play(act)
    assert len(threads) == 2
    assert threading.main_thread() not in threads


def test_data_that_waits_is_read_in_large_parts_however_small_its_frames_were(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[int] = []
    feed = MessageReader.feed

    def counted(reader: MessageReader, data: bytes) -> None:
        fed.append(len(data))
        feed(reader, data)

    async def act(scene: Scene) -> None:
        caller = await RawCaller.to(scene.address, [(frames.INITIAL_WINDOW_SIZE, 0)])
        caller.call(1, STREAM)
        caller.data(1, framed(b"\xff"))
        await until(lambda: any(relay.blocked for relay in scene.front._relays))
        sent = framed(b"\xff") * 100
        for at in range(len(sent)):
            caller.data(1, sent[at : at + 1])
        await until(lambda: scene.front._limits.bodies._total == len(sent))
        monkeypatch.setattr(MessageReader, "feed", counted)
        caller.send(frames.number_frame(frames.WINDOW_UPDATE, 1, 10**6))
        got = b""
        while got.count(b"wrong_type") < 101:
            got += (await caller.frame(frames.DATA)).payload
        assert fed == [len(sent)]
        caller.close()

    play(act)

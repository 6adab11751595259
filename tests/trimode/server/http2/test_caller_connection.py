"""What the server bears of a caller that keeps no rules, and how it ends what it does not bear."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from trimode.server.grpc_front.front import GrpcFront
from trimode.server.http2 import caller_connection, frames
from trimode.server.http2.frames import PREFACE, frame, number_frame, settings
from trimode.server.http2.stream import Stream

from tests.support.http2_caller import EMPTY_MESSAGE, LIVE, STREAM, RawCaller
from tests.support.kserve import Scene, play

PING = frame(frames.PING, 0, 0, b"12345678")


def with_caller(
    act: Callable[[Scene, RawCaller], Awaitable[None]], *values: tuple[int, int], greet: bool = True
) -> None:
    async def run(scene: Scene) -> None:
        caller = await RawCaller.to(scene.address, values, greet=greet)
        try:
            await act(scene, caller)
        finally:
            caller.close()

    play(run)


FAULTS = {
    "not HTTP/2": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", frames.PROTOCOL_ERROR, "this is not HTTP/2"),
    "no settings": (PREFACE + PING, frames.PROTOCOL_ERROR, "settings must come first"),
    "a large frame": (
        PREFACE + settings(()) + frames.HEAD.pack(1, 0, frames.DATA, 0, 1),
        frames.FRAME_SIZE_ERROR,
        "a frame may have 16384 bytes, got 65536",
    ),
    "data for nothing": (
        PREFACE + settings(()) + frame(frames.DATA, 0, 1, b"x"),
        frames.PROTOCOL_ERROR,
        "data for a stream that was never begun",
    ),
    "a reset of nothing": (
        PREFACE + settings(()) + number_frame(frames.RST_STREAM, 1, 0),
        frames.PROTOCOL_ERROR,
        "a stream that was never begun was reset",
    ),
    "a push": (
        PREFACE + settings(()) + frame(frames.PUSH_PROMISE, frames.END_HEADERS, 1, bytes(4)),
        frames.PROTOCOL_ERROR,
        "nothing may be pushed here",
    ),
    "an even number": (
        PREFACE + settings(()) + frame(frames.HEADERS, frames.END_HEADERS, 2),
        frames.PROTOCOL_ERROR,
        "a caller's streams have odd numbers",
    ),
    "no growth": (
        PREFACE + settings(()) + number_frame(frames.WINDOW_UPDATE, 0, 0),
        frames.PROTOCOL_ERROR,
        "a window must grow by 1 byte or more",
    ),
    "too much growth": (
        PREFACE + settings(()) + number_frame(frames.WINDOW_UPDATE, 0, 2**31 - 1),
        frames.FLOW_CONTROL_ERROR,
        "a window is larger than 2^31 - 1 bytes",
    ),
    "a short ping": (PREFACE + settings(()) + frame(frames.PING, 0, 0, b"1"), frames.FRAME_SIZE_ERROR, "8 bytes"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_the_connection_and_is_named(name: str) -> None:
    sent, code, text = FAULTS[name]

    async def act(scene: Scene, caller: RawCaller) -> None:
        caller.send(sent)
        found = await caller.fault()
        assert found[0] == code
        assert text in found[1]

    with_caller(act, greet=False)


def test_a_preface_may_come_byte_by_byte() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        for byte in PREFACE + settings(()) + PING:
            caller.send(bytes((byte,)))
            await asyncio.sleep(0)
        assert (await caller.frame(frames.PING)).payload == b"12345678"

    with_caller(act, greet=False)


def test_frames_of_a_kind_that_nobody_knows_are_passed_over() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        caller.send(frame(0x77, 0xFF, 5, b"what"), frame(frames.PRIORITY, 0, 3, bytes(5)), PING)
        assert (await caller.frame(frames.PING)).flags == frames.ACK

    with_caller(act)


def test_pings_that_come_too_often_end_the_connection() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        caller.send(PING * 4)
        assert await caller.fault() == (frames.ENHANCE_YOUR_CALM, "too_many_pings")

    with_caller(act)


def test_settings_that_change_too_often_end_the_connection() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        caller.send(settings(()) * caller_connection.MOST_SETTINGS)
        assert await caller.fault() == (frames.ENHANCE_YOUR_CALM, "more than 100 settings in 10 s")

    with_caller(act)


def test_settings_between_pings_do_not_make_them_answers() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        caller.send((PING + settings(())) * 4)
        assert await caller.fault() == (frames.ENHANCE_YOUR_CALM, "too_many_pings")

    with_caller(act)


def test_a_setting_that_is_there_often_is_applied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    widened: list[int] = []
    widen = Stream.widen

    def counted(self: Stream, size: int) -> None:
        widened.append(size)
        widen(self, size)

    async def act(scene: Scene, caller: RawCaller) -> None:
        caller.call(1, STREAM)
        await settled(scene)
        monkeypatch.setattr(Stream, "widen", counted)
        caller.send(settings([(frames.INITIAL_WINDOW_SIZE, size) for size in range(1000)]), PING)
        await caller.frame(frames.PING)
        assert widened == [999 - frames.FIRST_WINDOW]

    with_caller(act)


def test_a_call_that_begins_while_the_server_ends_may_be_made_again_and_ends_no_other() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        caller.call(1, STREAM)
        connection = await settled(scene)
        connection.depart()
        caller.call(3, LIVE)
        caller.data(3, EMPTY_MESSAGE, last=True)
        caller.send(PING)
        refused = await caller.frame(frames.RST_STREAM, frames.GOAWAY)
        assert (refused.kind, refused.number, refused.payload[-1]) == (frames.RST_STREAM, 3, frames.REFUSED_STREAM)
        assert (await caller.frame(frames.PING, frames.GOAWAY)).kind == frames.PING
        assert list(connection.streams) == [1]

    with_caller(act)


def test_pings_among_answers_are_no_flood() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        for number in range(1, 21, 2):
            caller.send(PING)
            caller.call(number, LIVE)
            caller.data(number, EMPTY_MESSAGE, last=True)
            assert (await caller.fields())[":status"] == "200"
            assert (await caller.fields())["grpc-status"] == "0"

    with_caller(act)


def test_more_calls_than_one_connection_may_have_are_refused_one_by_one() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        for at in range(caller_connection.MOST_STREAMS + 1):
            caller.call(2 * at + 1, STREAM)
        refused = await caller.frame(frames.RST_STREAM)
        assert (refused.number, refused.payload) == (2 * caller_connection.MOST_STREAMS + 1, b"\0\0\0\x07")
        caller.send(number_frame(frames.RST_STREAM, 1, 8))
        caller.call(refused.number + 2, LIVE)
        caller.data(refused.number + 2, EMPTY_MESSAGE, last=True)
        assert (await caller.fields())[":status"] == "200"

    with_caller(act)


def test_calls_that_are_given_up_without_end_end_the_connection() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        for at in range(caller_connection.RESETS + 1):
            caller.call(2 * at + 1, STREAM)
            caller.send(number_frame(frames.RST_STREAM, 2 * at + 1, 8))
        assert await caller.fault() == (frames.ENHANCE_YOUR_CALM, "too many calls were given up")

    with_caller(act)


def test_calls_with_many_header_fields_end_the_connection_when_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_connection, "MOST_MANY", 3)
    many = [(f"x-{at}", "1") for at in range(caller_connection.MANY_FIELDS)]

    async def act(scene: Scene, caller: RawCaller) -> None:
        for number in range(1, 11, 2):
            caller.call(number, LIVE)
        for number in range(11, 19, 2):
            caller.call(number, LIVE, *many)
        text = "too many calls had more than 64 header fields"
        assert await caller.fault() == (frames.ENHANCE_YOUR_CALM, text)

    with_caller(act)


def test_more_data_than_was_granted_is_a_fault() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        caller.call(1, "/nothing")  # is answered at once, and so nothing more is granted
        caller.call(3, STREAM)
        large = frames.LARGEST_WINDOW.to_bytes(4, "big")
        caller.data(3, b"\0" + large)
        for _ in range(2 * caller_connection.STREAM_WINDOW // frames.MAX_FRAME):
            caller.data(3, bytes(frames.MAX_FRAME))  # more is granted as it is read
        caller.send(PING)
        assert (await caller.frame(frames.PING)).flags == frames.ACK
        (connection,) = scene.keeper.all
        connection.streams[3].hold()
        for _ in range(1 + caller_connection.STREAM_WINDOW // frames.MAX_FRAME):
            caller.data(3, bytes(frames.MAX_FRAME))
        assert (await caller.fault())[0] == frames.FLOW_CONTROL_ERROR

    with_caller(act)


def test_an_answer_leaves_as_its_reader_lets_it() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        caller.call(1, LIVE)
        caller.data(1, EMPTY_MESSAGE, last=True)
        await caller.fields()
        got = (await caller.frame(frames.DATA)).payload
        assert len(got) == 3  # of the seven
        caller.send(settings([(frames.INITIAL_WINDOW_SIZE, 1)]))  # two fewer than were sent
        caller.send(number_frame(frames.WINDOW_UPDATE, 1, 3))
        got += (await caller.frame(frames.DATA)).payload
        assert len(got) == 4
        caller.send(number_frame(frames.WINDOW_UPDATE, 1, 100))
        got += (await caller.frame(frames.DATA)).payload
        assert got == b"\0\0\0\0\x02\x08\x01"  # live: true
        assert (await caller.fields())["grpc-status"] == "0"

    with_caller(act, (frames.INITIAL_WINDOW_SIZE, 3))


def test_a_silent_caller_is_asked_and_then_left() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        caller.call(1, STREAM)
        connection = await settled(scene)
        now = time.monotonic() + caller_connection.KEEPALIVE_SECONDS + 1
        connection.watch(now)
        assert (await caller.frame(frames.PING)).flags == 0
        connection.watch(now + caller_connection.KEEPALIVE_ANSWER_SECONDS + 1)
        await caller.ended()

    with_caller(act)


def test_a_caller_that_gives_a_sign_of_life_stays() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        caller.call(1, STREAM)
        connection = await settled(scene)
        connection.watch(time.monotonic() + caller_connection.KEEPALIVE_SECONDS + 1)
        asked = await caller.frame(frames.PING)
        caller.send(frame(frames.PING, frames.ACK, 0, asked.payload))
        while connection.pinged_at is not None:
            await asyncio.sleep(0.01)
        connection.watch(time.monotonic() + caller_connection.KEEPALIVE_ANSWER_SECONDS + 1)
        caller.send(PING)
        assert (await caller.frame(frames.PING)).flags == frames.ACK

    with_caller(act)


async def settled(scene: Scene) -> Any:
    """The one connection, once it has a call."""
    while not (scene.keeper.all and all(each.streams for each in scene.keeper.all)):
        await asyncio.sleep(0.01)
    (connection,) = scene.keeper.all
    return connection


def test_a_connection_without_a_call_ends_after_a_while() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        caller.send(PING)
        await caller.frame(frames.PING)
        (connection,) = scene.keeper.all
        connection.watch(time.monotonic() + caller_connection.IDLE_SECONDS + 1)
        assert (await caller.fault())[0] == frames.NO_ERROR

    with_caller(act)


def test_a_connection_that_never_begins_ends() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        caller.send(PREFACE[:5])
        while not scene.keeper.all:
            await asyncio.sleep(0.01)
        (connection,) = scene.keeper.all
        connection.watch(time.monotonic() + caller_connection.HANDSHAKE_SECONDS + 1)
        await caller.ended()

    with_caller(act, greet=False)


def test_a_defect_ends_its_call_alone(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        monkeypatch.setattr(GrpcFront, "_begin_stream", None)
        caller.call(1, STREAM)
        assert (await caller.frame(frames.RST_STREAM)).payload[3] == frames.INTERNAL_ERROR
        caller.call(3, LIVE)
        caller.data(3, EMPTY_MESSAGE, last=True)
        assert (await caller.fields())[":status"] == "200"

    with_caller(act)
    assert "a call could not begin" in caplog.text


def test_header_fields_for_calls_that_are_over_count_as_given_up() -> None:
    async def act(scene: Scene, caller: RawCaller) -> None:
        caller.call(1, LIVE)
        caller.data(1, EMPTY_MESSAGE, last=True)
        assert (await caller.fields())[":status"] == "200"
        assert (await caller.fields())["grpc-status"] == "0"
        for _ in range(caller_connection.RESETS + 1):
            caller.call(1, LIVE)
        assert await caller.fault() == (frames.ENHANCE_YOUR_CALM, "too many calls were given up")

    with_caller(act)

"""gRPC's own manners: compression, deadlines, large and broken messages, what is no call at all."""

from __future__ import annotations

import asyncio
import gc
import gzip
import weakref
from typing import Any

import grpc
import pytest
from trimode.server.grpc_front.framing import framed
from trimode.server.grpc_front.relay import MOST_REFUSED, Relay
from trimode.server.http2 import frames
from tritonclient.grpc import service_pb2 as pb

from tests.support.http2_caller import EMPTY_MESSAGE, LIVE, STREAM, RawCaller
from tests.support.kserve import Scene, Triton, play, request, response

ASKED = request().SerializeToString()


def compressed(data: bytes) -> bytes:
    return b"\x01" + framed(data)[1:]


async def status(scene: Scene, sent: bytes, *more: tuple[str, str], path: str = STREAM) -> dict[str, str]:
    """Return the trailers of a call with these bytes."""
    caller = await RawCaller.to(scene.address)
    caller.call(1, path, *more)
    caller.data(1, sent, last=True)
    found = await caller.fields()
    while "grpc-status" not in found:
        found = await caller.fields()
    caller.close()
    return found


@pytest.mark.parametrize("kind", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_requests_are_read(kind: grpc.Compression) -> None:
    async def act(scene: Scene) -> None:
        call = scene.stub.ModelStreamInfer(compression=kind)
        await call.write(request("a", filler="x" * 3000))
        await call.done_writing()
        assert [answer.infer_response.id async for answer in call] == ["a"]
        assert scene.triton.asked[0].parameters["filler"].string_param == "x" * 3000

    play(act)


@pytest.mark.parametrize(
    ("sent", "coding", "said"),
    [
        (compressed(ASKED), "snappy", "unsupported_encoding: a compressed message needs grpc-encoding gzip or deflate"),
        (compressed(ASKED), "identity", "unsupported_encoding: "),
        (compressed(b"no gzip"), "gzip", "wrong_type: the message must be gzip, got something else"),
        (compressed(gzip.compress(bytes(10**6))), "gzip", "too_large: a message must be at most 4096 bytes, got more"),
        (framed(ASKED)[:-1], "identity", "wrong_type: the message must be whole, got something else"),
    ],
)
def test_a_message_that_cannot_be_read_ends_its_call(sent: bytes, coding: str, said: str) -> None:
    async def act(scene: Scene) -> None:
        found = await status(scene, sent, ("grpc-encoding", coding))
        assert found["grpc-message"].startswith(said)
        assert found["grpc-status"] == str(grpc.StatusCode.INVALID_ARGUMENT.value[0])
        assert not scene.running

    play(act, body_bytes=4096)


def test_a_message_of_any_size_is_refused_by_name_and_the_stream_goes_on() -> None:
    async def act(scene: Scene) -> None:
        first, second = await scene.ask(request("a", filler="x" * 10**6), request("good"))
        assert first.error_message == f"too_large: a message must be at most 4096 bytes, got {large}"
        assert (second.infer_response.id, second.error_message) == ("good", "")

    large = request("a", filler="x" * 10**6).ByteSize()
    play(act, body_bytes=4096)


def test_a_large_question_is_refused() -> None:
    async def act(scene: Scene) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await scene.stub.ModelConfig(pb.ModelConfigRequest(name="x" * 5000))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert str(caught.value.details()).startswith("too_large: a message must be at most 4096 bytes, got 5003")

    play(act, body_bytes=4096)


def test_a_call_ends_at_its_own_deadline() -> None:
    async def act(scene: Scene) -> None:
        found = await status(scene, framed(ASKED), ("grpc-timeout", "50m"))
        assert found["grpc-message"] == "deadline_exceeded: the call took longer than its own deadline"
        assert found["grpc-status"] == str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0])
        await scene.triton.left.wait()

    play(act, lambda: Triton(lambda asked: []))


@pytest.mark.parametrize("kind", ["text/html", "application/grpc-web", ""])
def test_what_is_no_call_of_grpc_is_refused(kind: str) -> None:
    async def act(scene: Scene) -> None:
        caller = await RawCaller.to(scene.address)
        caller.call(1, LIVE, ("content-type", kind))
        assert (await caller.fields())[":status"] == "415"
        caller.close()

    play(act)


def test_a_message_in_trailers_is_percent_encoded() -> None:
    async def act(scene: Scene) -> None:
        call: Any = scene.channel.unary_unary("/a/ü%\n")
        with pytest.raises(grpc.aio.AioRpcError, match="is no call of this server"):
            await call(b"")

    play(act)


def test_requests_wait_while_responses_are_not_read() -> None:
    """So that what a caller makes the server hold is bounded by its windows."""

    async def act(scene: Scene) -> None:
        caller = await RawCaller.to(scene.address, [(frames.INITIAL_WINDOW_SIZE, 0)])
        caller.call(1, STREAM)
        caller.data(1, framed(b"\xff") * 100)  # each is refused
        while not scene.front._relays:
            await asyncio.sleep(0.01)
        (each,) = scene.front._relays
        while not each.blocked:
            await asyncio.sleep(0.01)
        caller.data(1, framed(b"\xff") * 100)
        caller.send(frames.number_frame(frames.WINDOW_UPDATE, 1, 10**6))
        got = b""
        while got.count(b"wrong_type") < 200:
            got += (await caller.frame(frames.DATA)).payload
        caller.close()

    play(act)


def test_a_defect_ends_its_call_alone(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def act(scene: Scene) -> None:
        call = scene.stub.ModelStreamInfer()
        await call.write(request("good"))
        assert (await call.read()).infer_response.id == "good"
        with monkeypatch.context() as patched:
            patched.setattr(Relay, "message", None)
            with pytest.raises(grpc.aio.AioRpcError):
                await scene.ask(request("bad"))
        await call.write(request("again"))
        assert (await call.read()).infer_response.id == "again"

    play(act, lambda: Triton(lambda asked: [response(asked.id, last=True)]))
    assert "a stream could not be served" in caplog.text


def test_of_many_small_messages_that_come_together_no_more_are_answered_than_are_read() -> None:
    async def act(scene: Scene) -> None:
        caller = await RawCaller.to(scene.address, [(frames.INITIAL_WINDOW_SIZE, 0)])
        caller.call(1, STREAM)
        caller.data(1, EMPTY_MESSAGE * 900)
        caller.send(frames.frame(frames.PING, 0, 0, bytes(8)))
        await caller.frame(frames.PING)
        (connection,) = scene.keeper.all
        assert len(connection.streams[1]._queue) == 1
        assert scene.front._limits.bodies._total == 899 * len(EMPTY_MESSAGE)
        caller.send(*(frames.number_frame(frames.WINDOW_UPDATE, number, 10**6) for number in (0, 1)))
        got = b""
        while got.count(b"not_found") < 900:
            got += (await caller.frame(frames.DATA)).payload
        assert scene.front._limits.bodies._total == 0
        caller.close()

    play(act)


def test_a_stream_of_refused_messages_ends_with_the_type_of_the_last() -> None:
    async def act(scene: Scene) -> None:
        caller = await RawCaller.to(scene.address, [(frames.INITIAL_WINDOW_SIZE, 10**6)])
        caller.send(frames.number_frame(frames.WINDOW_UPDATE, 0, 10**6))
        caller.call(1, STREAM)
        caller.data(1, framed(b"\xff") * (MOST_REFUSED - 1) + framed(ASKED) + framed(b"\xff") * 9)
        while not scene.triton.asked:  # so the row began again
            await asyncio.sleep(0.01)
        caller.data(1, EMPTY_MESSAGE * (MOST_REFUSED - 9))
        await caller.fields()
        found = await caller.fields()
        said = "not_found: at most 1024 messages of a stream may be refused in a row; of the last: "
        assert found["grpc-message"].startswith(said)
        assert found["grpc-status"] == str(grpc.StatusCode.NOT_FOUND.value[0])
        caller.close()

    play(act)


@pytest.mark.parametrize("before", [b"", framed(ASKED)], ids=["nothing runs", "a request runs"])
def test_a_call_whose_caller_left_is_forgotten_at_once(before: bytes) -> None:
    async def act(scene: Scene) -> None:
        caller = await RawCaller.to(scene.address)
        caller.call(1, STREAM)
        caller.data(1, before + framed(bytes(3000))[:-1])
        while not (scene.front._relays and len(scene.triton.asked) == bool(before)):
            await asyncio.sleep(0.01)
        (relay,) = scene.front._relays
        call = weakref.ref(relay._call)
        del relay
        caller.close()
        while any(not each.over for each in scene.front._relays):
            await asyncio.sleep(0.01)
        scene.front.watch(0.0)
        assert call() is None

    gc.disable()
    try:
        play(act, lambda: Triton(lambda asked: []))
    finally:
        gc.enable()

"""A caller's stream through the front: what passes, what is refused, and that every request gets its last response."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from trimode.api.tensors import CALLER, CANCEL, TAG
from trimode.server.grpc_front import relay
from trimode.server.grpc_front.messages import ASK_FINAL
from trimode.server.http2.caller_connection import WRITE_SECONDS

from tests.support.kserve import Scene, Triton, errors, play, request, response, until


def test_requests_and_responses_pass_in_order() -> None:
    async def act(scene: Scene) -> None:
        answers = await scene.ask(request("a", model_parameter="x"), request("b"))
        assert [answer.infer_response.id for answer in answers] == ["a", "a", "b", "b"]
        assert [answer.infer_response.raw_output_contents[0] for answer in answers] == [b"one", b"two"] * 2
        assert scene.triton.streams == 1
        sent = scene.triton.asked[0]
        assert sent.inputs == request().inputs
        assert sent.parameters["model_parameter"].string_param == "x"
        assert sent.parameters[CALLER].string_param == "127.0.0.1"
        assert sent.parameters[ASK_FINAL].bool_param

    play(act, lambda: Triton(lambda asked: [response(asked.id, "one"), response(asked.id, "two", last=True)]))


def with_output_parameter(name: str) -> Any:
    asked = request()
    asked.outputs.add(name="text_output").parameters[name].int64_param = 3
    return asked


def with_shape(*sizes: int) -> Any:
    asked = request()
    asked.inputs[0].shape[:] = sizes
    return asked


def with_many_inputs() -> Any:
    asked = request()
    for _ in range(200):
        asked.inputs.add(name="seed")
    return asked


def with_input_parameter(name: str) -> Any:
    asked = request()
    asked.inputs[0].parameters[name].string_param = "region"
    return asked


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            with_output_parameter("classification"),
            'unknown_field: classification is no parameter that "text_output" may have, got a value',
        ),
        (
            with_shape(2**62),
            "wrong_type: text_input must have a shape that the message can fill, got [4611686018427387904]",
        ),
        (with_shape(*[0] * 9), "wrong_type: text_input may have at most 8 dimensions, got 9"),
        (with_shape(-1), "wrong_type: text_input must have a shape that the message can fill, got [-1]"),
        (with_shape(3000, 3000), "wrong_type: text_input must have a shape that the message can fill"),
        (with_many_inputs(), "invalid_value: inputs may hold at most "),
        (request("a", **{"cancel\0": "b"}), "unknown_field: cancel\\u0000 is not a field of this model"),
        (request("a", **{"x" * 3000: "b"}), "unknown_field: x"),
        (request("a\0b"), "invalid_value: id must be a string of at most 128 characters, none NUL"),
        (
            with_input_parameter("shared_memory_region"),
            'unknown_field: shared_memory_region is no parameter that "text_input" may have, got a value',
        ),
        (request("a", model="x\n"), 'not_found: there is no model "x\\n"; this server has nemotron_diffusion'),
        (request("a", version="2"), 'not_found: nemotron_diffusion has no version "2", only 1'),
        (request("a", **{CANCEL: "b"}), "unknown_field: cancel is not a field of this model, got a value"),
        (request("a", **{TAG: "b"}), "unknown_field: tag is not a field of this model, got a value"),
        (request("a", **{CALLER: "b"}), "unknown_field: caller is not a field of this model, got a value"),
        (request("a", filler="x" * 5000), "too_large: a message must be at most 4096 bytes, got 50"),
        (request("i" * 129), "invalid_value: id must be a string of at most 128 characters, none NUL, got "),
    ],
)
def test_what_would_harm_triton_or_others_is_refused_and_the_stream_goes_on(asked: Any, message: str) -> None:
    async def act(scene: Scene) -> None:
        first, second = errors(await scene.ask(asked, request("good")))
        assert first[1].startswith(message)
        assert second == ("good", "")
        assert [each.id for each in scene.triton.asked] == ["good"]

    play(act, body_bytes=4096)


def test_bytes_that_are_no_request_are_refused() -> None:
    async def act(scene: Scene) -> None:
        call: Any = scene.channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")()
        await call.write(b"\xff\xff\xff")
        await call.done_writing()
        (answer,) = [each async for each in call]
        assert b"wrong_type: the message must be a ModelInferRequest" in answer

    play(act)


def test_an_error_in_tritons_own_words_gets_a_type() -> None:
    async def act(scene: Scene) -> None:
        said = errors(await scene.ask(request("a"), request("b")))
        assert said == [("a", "unknown_field: unexpected inference input 'x'"), ("b", "overloaded: the queue is full")]

    words = {"a": "unexpected inference input 'x'", "b": "overloaded: the queue is full"}
    play(act, lambda: Triton(lambda asked: [response(asked.id, error=words[asked.id])]))


def test_every_request_hears_that_the_backend_ended_and_the_stream_goes_on() -> None:
    async def act(scene: Scene) -> None:
        call = scene.stub.ModelStreamInfer()
        for name in ("waits", "waits", "ends"):
            await call.write(request(name))
        lost = [await call.read() for _ in range(3)]
        assert sorted(answer.infer_response.id for answer in lost) == ["ends", "waits", "waits"]
        assert {answer.error_message.partition(":")[0] for answer in lost} == {"engine_failed"}
        await call.write(request("again"))
        assert (await call.read()).infer_response.id == "again"
        assert scene.triton.streams == 2

    answers = {"waits": [], "ends": None, "again": [response("again", last=True)]}
    play(act, lambda: Triton(lambda asked: answers[asked.id]))


def test_while_no_backend_serves_requests_are_refused() -> None:
    async def act(scene: Scene) -> None:
        scene.state.alive = False
        assert errors(await scene.ask(request())) == [("a", "unavailable: the server is starting, try again")]

    play(act)


def test_a_caller_that_leaves_cancels_what_runs() -> None:
    async def act(scene: Scene) -> None:
        call = scene.stub.ModelStreamInfer()
        await call.write(request())
        assert (await call.read()).infer_response.id == "a"
        call.cancel()
        await scene.triton.left.wait()
        while scene.running:
            await asyncio.sleep(0.01)

    play(act, lambda: Triton(lambda asked: [response(asked.id)]))


def test_an_idle_stream_is_closed_at_once_when_the_server_stops() -> None:
    async def act(scene: Scene) -> None:
        call = scene.stub.ModelStreamInfer()
        await call.write(request())
        await call.read()
        scene.state.stopping, scene.state.alive = True, False
        scene.front.drain()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "unavailable: the server is stopping"

    play(act)


def test_a_stream_on_which_something_runs_is_closed_after_its_last_response() -> None:
    async def act(scene: Scene) -> None:
        call = scene.stub.ModelStreamInfer()
        await call.write(request("slow"))
        await call.read()
        scene.state.stopping, scene.state.alive = True, False
        scene.front.drain()
        await call.write(request("late"))
        assert (await call.read()).error_message == "unavailable: the server is stopping"
        await until(lambda: scene.running == 1)  # the refusal counts until it is written
        for each in scene.front._relays:
            each._upstreams[0].answered("slow")
            each._note_idle()
        with pytest.raises(grpc.aio.AioRpcError, match="the server is stopping"):
            await call.read()

    play(act, lambda: Triton(lambda asked: [response(asked.id)]))


def test_a_backend_that_is_silent_for_too_long_is_an_error() -> None:
    async def act(scene: Scene) -> None:
        call = scene.stub.ModelStreamInfer()
        await call.write(request())
        while not scene.running:
            await asyncio.sleep(0.01)
        for each in scene.front._relays:
            each.watch(time.monotonic() + 299, 3600)
            each.watch(time.monotonic() + 301, 3600)
        answer = await call.read()
        assert answer.error_message == "deadline_exceeded: the backend was silent for too long"

    play(act, lambda: Triton(lambda asked: []))


def test_a_stream_without_requests_is_closed_after_a_while() -> None:
    async def act(scene: Scene) -> None:
        call = scene.stub.ModelStreamInfer()
        await call.write(request())
        await call.read()
        await until(lambda: not scene.running)
        for each in scene.front._relays:
            each.watch(time.monotonic() + 3601, 3600)
        with pytest.raises(grpc.aio.AioRpcError, match="the stream had no request for 3600 s"):
            await call.read()

    play(act)


def test_one_stream_cannot_run_any_number_of_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(scene: Scene) -> None:
        call = scene.stub.ModelStreamInfer()
        for name in "abc":
            await call.write(request(name))
        answer = await call.read()
        assert (answer.infer_response.id, answer.error_message.partition(":")[0]) == ("c", "overloaded")

    monkeypatch.setattr(relay, "MOST_RUNNING", 2)
    play(act, lambda: Triton(lambda asked: []))


def test_no_stream_is_left_without_a_status_when_the_server_stops_in_the_middle() -> None:
    """Whatever each stream is doing: its request is answered or refused, and then it ends with a status."""

    async def act(scene: Scene) -> None:
        async def one(name: str) -> tuple[int, str]:
            call = scene.stub.ModelStreamInfer()
            answers = 0
            try:
                await call.write(request(name))
                async for _ in call:
                    answers += 1
            except grpc.aio.AioRpcError as exc:
                if exc.details() == "Internal error from Core":  # grpc.aio's word for a write after the call's end
                    return answers, "unavailable: the server is stopping"
                return answers, str(exc.details())
            except asyncio.InvalidStateError:  # it was closed before its request could be sent
                return answers, "unavailable: the server is stopping"
            return answers, ""

        streams = [asyncio.create_task(one(f"r{at}")) for at in range(150)]
        await asyncio.sleep(0.02)
        scene.state.alive, scene.state.stopping = False, True
        scene.front.drain()
        ends = await asyncio.gather(*streams)
        assert {text for _, text in ends} == {"unavailable: the server is stopping"}

    play(act, lambda: Triton(lambda asked: [response(asked.id, last=True)]))


def test_the_last_response_counts_until_its_caller_has_it() -> None:
    async def act(scene: Scene) -> None:
        call = scene.stub.ModelStreamInfer()
        await call.write(request())
        (each,) = await until(lambda: scene.front._relays)
        await stuck(each)
        scene.state.alive, scene.state.stopping = False, True
        scene.front.drain()
        assert scene.running > 0
        assert len([answer async for answer in first(call, 40)]) == 40
        with pytest.raises(grpc.aio.AioRpcError, match="the server is stopping"):
            await call.read()
        assert scene.running == 0

    play(act, lambda: Triton(lambda asked: large(asked.id, 40)))


def test_a_slow_reader_is_no_silent_backend() -> None:
    async def act(scene: Scene) -> None:
        call = scene.stub.ModelStreamInfer()
        await call.write(request())
        (each,) = await until(lambda: scene.front._relays)
        await stuck(each)
        each.watch(time.monotonic() + 301, 3600)
        (connection,) = scene.keeper.all
        connection.watch(time.monotonic() + WRITE_SECONDS / 2)
        texts = [answer.infer_response.raw_output_contents[0] async for answer in first(call, 40)]
        assert len(texts) == 40

    play(act, lambda: Triton(lambda asked: large(asked.id, 40)))


def test_a_caller_that_never_reads_is_left() -> None:
    async def act(scene: Scene) -> None:
        call = scene.stub.ModelStreamInfer()
        await call.write(request())
        (each,) = await until(lambda: scene.front._relays)
        await stuck(each)
        (connection,) = scene.keeper.all
        connection.watch(time.monotonic() + WRITE_SECONDS + 1)
        assert scene.running == 0
        await scene.triton.left.wait()

    play(act, lambda: Triton(lambda asked: large(asked.id, 40)))


async def stuck(each: relay.Relay) -> None:
    """Wait until a caller that does not read has as much as its windows hold."""
    looks = 0
    while looks < 20:
        await asyncio.sleep(0.01)
        looks = looks + 1 if each.blocked else 0


def large(request_id: str, count: int) -> list[Any]:
    """More than a connection holds for a caller that does not read."""
    return [response(request_id, "x" * 2**20, last=at == count - 1) for at in range(count)]


async def first(call: Any, count: int) -> AsyncIterator[Any]:
    for _ in range(count):
        yield await call.read()

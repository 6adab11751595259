"""A caller's stream to several models: whose response is whose, and what waits while one of them is replaced."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from trimode.api.tensors import MODEL_NAME

from tests.support.kserve import Scene, Triton, errors, play, request, until


def test_a_model_has_another_name_too_and_triton_gets_its_own() -> None:
    async def act(scene: Scene) -> None:
        assert errors(await scene.ask(request("a", model="nano"), request("b"))) == [("a", ""), ("b", "")]
        assert [asked.model_name for asked in scene.triton.asked] == [MODEL_NAME] * 2

    play(act)


def test_a_request_waits_while_its_model_is_replaced_and_so_does_what_follows() -> None:
    async def act(scene: Scene) -> None:
        gate = scene.models.first.gate
        gate.close()
        call = scene.stub.ModelStreamInfer()
        for name in ("a", "b"):
            await call.write(request(name))
        await call.done_writing()
        relays = await until(lambda: [each for each in scene.front._relays if each.held])
        assert all(each.blocked and each.busy for each in relays)
        assert (scene.running, scene.triton.asked) == (0, [])  # what waits holds up no successor
        gate.open()
        assert [answer.infer_response.id async for answer in call] == ["a", "b"]

    play(act)


def test_while_one_model_is_replaced_requests_for_another_pass_on_the_same_stream() -> None:
    async def act(scene: Scene) -> None:
        first, second = scene.models
        call = scene.stub.ModelStreamInfer()
        await call.write(request("a"))
        assert (await call.read()).infer_response.id == "a"
        first.gate.close()
        await call.write(request("b", model="second"))
        assert (await call.read()).infer_response.id == "b"
        await call.write(request("c"))
        await call.write(request("d", model="second"))  # behind one that waits
        await until(lambda: [each for each in scene.front._relays if each.held])
        assert (scene.front.running(first), scene.front.running(second)) == (0, 0)
        first.gate.open()
        assert {(await call.read()).infer_response.id for _ in "cd"} == {"c", "d"}
        assert [(asked.id, asked.model_name) for asked in scene.triton.asked if asked.id in "bd"] == [
            ("b", "second"),
            ("d", "second"),
        ]
        assert scene.triton.streams == 2  # one for each model

    play(act, second="second")


def test_what_runs_is_counted_for_its_model_and_a_loss_is_said_with_its_name() -> None:
    async def act(scene: Scene) -> None:
        first, second = scene.models
        call = scene.stub.ModelStreamInfer()
        await call.write(request("waits"))
        await call.write(request("waits too", model="second"))
        await until(lambda: len(scene.triton.asked) == 2)
        assert (scene.front.running(first), scene.front.running(second)) == (1, 1)
        await call.write(request("ends", model="second"))
        lost = [await call.read() for _ in "ab"]
        assert {(each.infer_response.id, each.infer_response.model_name) for each in lost} == {
            ("waits too", "second"),
            ("ends", "second"),
        }
        assert (scene.front.running(first), scene.front.running(second)) == (1, 0)

    answers: dict[str, list[Any] | None] = {"waits": [], "waits too": [], "ends": None}
    play(act, lambda: Triton(lambda asked: answers[asked.id]), second="second")


def test_a_request_that_waits_is_refused_when_the_server_stops() -> None:
    async def act(scene: Scene) -> None:
        gate = scene.models.first.gate
        gate.close()
        call = scene.stub.ModelStreamInfer()
        await call.write(request("a"))
        await until(lambda: [each for each in scene.front._relays if each.held])
        scene.state.alive, scene.state.stopping = False, True
        gate.open()  # as the supervisor does
        scene.front.drain()
        assert errors([await call.read()]) == [("a", "unavailable: the server is stopping")]
        with pytest.raises(grpc.aio.AioRpcError, match="the server is stopping"):
            await call.read()
        assert scene.triton.asked == []

    play(act)

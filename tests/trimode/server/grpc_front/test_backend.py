"""The connection to Triton is made again when it is lost."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from trimode.api.tensors import MODEL_NAME
from trimode.server.grpc_front.backend import Backend, BackendCall
from trimode.server.http2.frames import PROTOCOL_ERROR, ConnectionFault

from tests.support.kserve import Scene, Triton, play, request, response


def test_a_connection_that_is_lost_is_made_again() -> None:
    async def act(scene: Scene) -> None:
        backend = scene.front._backends[MODEL_NAME]
        lost = backend._connection
        assert lost is not None
        call = scene.stub.ModelStreamInfer()
        await call.write(request("waits"))
        while not scene.triton.asked:
            await asyncio.sleep(0.01)
        assert lost.transport is not None
        lost.transport.abort()
        assert (await call.read()).error_message.startswith("engine_failed: the backend ended")
        while backend._connection is lost:
            await asyncio.sleep(0.01)
        await call.write(request("again"))
        assert (await call.read()).infer_response.id == "again"

    play(act, lambda: Triton(lambda asked: [] if asked.id == "waits" else [response(asked.id, last=True)]))


def test_while_it_is_made_again_requests_are_refused_and_may_be_sent_again() -> None:
    async def act(scene: Scene) -> None:
        await scene.front._backends[MODEL_NAME].aclose()
        (answer,) = await scene.ask(request("a"))
        assert answer.error_message == "unavailable: the server is starting, try again"

    play(act)


def test_a_connection_that_is_at_fault_takes_no_more_calls_and_is_made_again() -> None:
    async def act(scene: Scene) -> None:
        backend = scene.front._backends[MODEL_NAME]
        lost = backend._connection
        assert lost is not None
        lost.fail(ConnectionFault(PROTOCOL_ERROR, "what Triton sent is not HTTP/2"))
        assert (lost.usable, lost.gone.is_set()) == (False, True)  # at once, whatever Triton does
        (refused,) = await scene.ask(request("a"))
        assert refused.error_message == "unavailable: the server is starting, try again"
        while backend._connection is lost:
            await asyncio.sleep(0.01)
        (answer,) = await scene.ask(request("again"))
        assert answer.infer_response.id == "again"

    play(act)


def test_nothing_is_written_after_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async def act(scene: Scene) -> None:
        lost = scene.front._backends[MODEL_NAME]._connection
        assert lost is not None
        lost.fail(ConnectionFault(PROTOCOL_ERROR, "what Triton sent is not HTTP/2"))
        lost.ping(0.0)
        lost.flush()

    play(act)
    assert caplog.text == ""


def test_the_status_of_a_call_is_read_from_its_trailers() -> None:
    ends: list[tuple[int, str]] = []
    call = BackendCall(lambda message: None, lambda code, text: ends.append((code, text)))
    call.stream = type("Stream", (), {"over": True})
    call.fields([("grpc-status", "5"), ("grpc-message", "no%20model")])
    call.ended()
    assert ends == [(grpc.StatusCode.NOT_FOUND.value[0], "no model")]


def test_nobody_at_the_address_is_no_error_yet() -> None:
    async def act(scene: Scene) -> None:
        backend = Backend("unix:/nowhere", scene.front.outbox)
        await backend.connect()
        await backend.aclose()

    play(act)

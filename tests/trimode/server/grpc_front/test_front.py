"""Calls that are no streams: which pass through, which the front answers, which it refuses; and its health service."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from trimode.api.tensors import MODEL_NAME
from trimode.errors import ERROR_TYPES, ServeError
from trimode.server.grpc_front.framing import framed
from trimode.server.grpc_front.front import ADMINISTRATION
from trimode.server.grpc_front.listener import listen
from trimode.server.grpc_front.status import status_of
from trimode.server.http2 import frames
from trimode.server.ports import free_port
from tritonclient.grpc import service_pb2 as pb

from tests.support.http2_caller import STREAM, RawCaller
from tests.support.kserve import Scene, Triton, play, request, response

EVERY_CALL = {method.name for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods}


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), str(caught.value.details())


def test_questions_pass_through() -> None:
    async def act(scene: Scene) -> None:
        assert await scene.stub.ModelConfig(pb.ModelConfigRequest(name=MODEL_NAME)) == pb.ModelConfigResponse()
        assert len(scene.triton.asked) == 1

    play(act)


def test_questions_about_a_model_that_is_not_there_do_not_reach_triton() -> None:
    async def act(scene: Scene) -> None:
        asked = scene.stub.ModelConfig(pb.ModelConfigRequest(name="other"))
        assert (await refused(asked))[0] is grpc.StatusCode.NOT_FOUND
        assert scene.triton.asked == []

    play(act)


def test_tritons_own_errors_get_a_type() -> None:
    async def act(scene: Scene) -> None:
        said = await refused(scene.stub.ModelConfig(pb.ModelConfigRequest(name=MODEL_NAME)))
        assert said == (grpc.StatusCode.UNAVAILABLE, "unavailable: Stub process 'x' is not healthy.")

    play(act, lambda: Triton(ill=True))


def test_the_front_says_itself_whether_it_lives_and_is_ready() -> None:
    async def act(scene: Scene) -> None:
        for alive in (True, False):
            scene.state.alive = alive
            assert (await scene.stub.ServerLive(pb.ServerLiveRequest())).live
            assert (await scene.stub.ServerReady(pb.ServerReadyRequest())).ready == alive
            assert (await scene.stub.ModelReady(pb.ModelReadyRequest(name=MODEL_NAME))).ready == alive
        said = await refused(scene.stub.ModelConfig(pb.ModelConfigRequest(name=MODEL_NAME)))
        assert said == (grpc.StatusCode.UNAVAILABLE, "unavailable: the server is starting, try again")

    play(act)


@pytest.mark.parametrize("name", ADMINISTRATION)
def test_nobody_administers_the_server_from_outside(name: str) -> None:
    async def act(scene: Scene) -> None:
        code, text = await refused(getattr(scene.stub, name)(getattr(pb, f"{name}Request")()))
        assert code is grpc.StatusCode.UNIMPLEMENTED
        assert text.startswith(f"not_allowed: {name} administers the server")

    play(act)


def test_every_call_of_the_service_is_answered_by_the_front() -> None:
    async def act(scene: Scene) -> None:
        for name in EVERY_CALL - {"ModelStreamInfer"}:
            call: Any = scene.channel.unary_unary(f"/inference.GRPCInferenceService/{name}")
            try:
                await call(b"")
            except grpc.aio.AioRpcError as exc:
                assert "is no call of this server" not in str(exc.details())

    play(act)


def test_a_call_that_is_not_served_is_refused_with_a_type() -> None:
    async def act(scene: Scene) -> None:
        call: Any = scene.channel.unary_unary("/inference.GRPCInferenceService/Other")
        code, text = await refused(call(b""))
        assert code is grpc.StatusCode.UNIMPLEMENTED
        assert text == "not_allowed: /inference.GRPCInferenceService/Other is no call of this server"

    play(act)


def test_one_answer_instead_of_a_stream_is_refused() -> None:
    async def act(scene: Scene) -> None:
        code, text = await refused(scene.stub.ModelInfer(request()))
        assert (code, text.partition(":")[0]) == (grpc.StatusCode.INVALID_ARGUMENT, "not_applicable")

    play(act)


def test_the_health_service() -> None:
    async def act(scene: Scene) -> None:
        stub: Any = health_pb2_grpc.HealthStub(scene.channel)
        serving = health_pb2.HealthCheckResponse.ServingStatus.Value
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status == serving("SERVING")
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="inference.GRPCInferenceService"))
        assert (await watch.read()).status == serving("SERVING")
        scene.state.alive = False
        assert (await watch.read()).status == serving("NOT_SERVING")
        watch.cancel()
        other = health_pb2.HealthCheckRequest(service="other")
        assert (await refused(stub.Check(other)))[0] is grpc.StatusCode.NOT_FOUND
        unknown = stub.Watch(other)
        assert (await unknown.read()).status == serving("SERVICE_UNKNOWN")
        unknown.cancel()

    play(act)


@pytest.mark.parametrize("name", ERROR_TYPES)
def test_every_type_of_error_has_a_status(name: str) -> None:
    assert status_of(name) is not grpc.StatusCode.UNKNOWN


def test_types_for_which_grpc_has_a_status_of_its_own() -> None:
    assert status_of("deadline_exceeded") is grpc.StatusCode.DEADLINE_EXCEEDED
    assert status_of("unauthorized") is grpc.StatusCode.UNAUTHENTICATED


def test_a_question_while_nobody_listens_names_no_path() -> None:
    async def act(scene: Scene) -> None:
        scene.front._backends[MODEL_NAME].address = "unix:/private/folder/grpc"
        await scene.front.connect(scene.models.first)
        said = await refused(scene.stub.ModelConfig(pb.ModelConfigRequest(name=MODEL_NAME)))
        assert said == (grpc.StatusCode.UNAVAILABLE, "unavailable: the server is starting, try again")

    play(act)


def test_a_long_name_of_a_service_is_shortened() -> None:
    async def act(scene: Scene) -> None:
        stub: Any = health_pb2_grpc.HealthStub(scene.channel)
        code, text = await refused(stub.Check(health_pb2.HealthCheckRequest(service="x" * 1000)))
        assert (code, len(text) < 200) == (grpc.StatusCode.NOT_FOUND, True)

    play(act)


def test_garbage_to_who_watches_the_health_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async def act(scene: Scene) -> None:
        channel: Any = scene.channel
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"\xff\xff")
        code, text = await refused(watch.read())
        assert (code, text.partition(":")[0]) == (grpc.StatusCode.INVALID_ARGUMENT, "wrong_type")

    play(act)
    assert caplog.records == []


def test_who_watches_the_health_hears_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(scene: Scene) -> None:
        stub: Any = health_pb2_grpc.HealthStub(scene.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        scene.state.alive, scene.state.stopping = False, True
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.ServingStatus.Value("NOT_SERVING")
        assert await watch.read() is grpc.aio.EOF

    play(act)


def test_a_port_that_is_taken_is_named() -> None:
    async def act(scene: Scene) -> None:
        taken = free_port(())
        with (
            closing(socket.create_server(("127.0.0.1", taken))),
            pytest.raises(ServeError, match=f"gRPC cannot listen on 127\\.0\\.0\\.1, port {taken}"),
        ):
            async with listen(scene.front, "127.0.0.1", taken):
                pass

    play(act)


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        (
            "x" * 16150,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "header_too_large: the metadata of a call must have",
        ),
        ("\xff", grpc.StatusCode.INVALID_ARGUMENT, "bad_utf8: x-other in the metadata of a call must be UTF-8"),
    ],
)
def test_metadata_that_is_too_large_or_unreadable_ends_its_call_alone(
    value: str, code: grpc.StatusCode, said: str
) -> None:
    async def act(scene: Scene) -> None:
        caller = await RawCaller.to(scene.address)
        caller.call(1, STREAM)
        caller.call(3, STREAM, ("x-other", value))
        found = await caller.fields()
        assert found["grpc-message"].startswith(said)
        assert found["grpc-status"] == str(code.value[0])
        caller.data(1, framed(request("a").SerializeToString()))
        assert b"one" in (await caller.frame(frames.DATA)).payload
        caller.close()

    play(act, lambda: Triton(lambda asked: [response(asked.id, "one", last=True)]))

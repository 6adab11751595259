"""The gRPC front with a Triton behind it that does as a test says, and a caller in front: all in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from trimode.api.tensors import MODEL_NAME
from trimode.server.access.entry import EVERYBODY, Entry
from trimode.server.backend_client import BackendClient
from trimode.server.grpc_front.front import GrpcFront
from trimode.server.grpc_front.listener import Keeper, listen
from trimode.server.grpc_front.messages import FINAL
from trimode.server.models.model_backend import ModelBackend
from trimode.server.models.model_backends import ModelBackends
from trimode.server.ports import free_port
from trimode.server.serving import Limits
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as stubs

DEADLINE_SECONDS = 60.0  # for a whole test; none takes as much as a second on a machine that is free


@dataclass
class State:
    alive: bool = True
    stopping: bool = False


def request(request_id: str = "a", model: str = MODEL_NAME, version: str = "", **parameters: str) -> Any:
    """A request that the fake Triton answers; `text_input` is its only tensor."""
    made = pb.ModelInferRequest(model_name=model, model_version=version, id=request_id)
    tensor = made.inputs.add(name="text_input", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(b"hello")
    for name, value in parameters.items():
        made.parameters[name].string_param = value
    return made


def response(request_id: str, text: str = "", *, last: bool = False, error: str = "") -> Any:
    """A response of Triton's."""
    made = pb.ModelStreamInferResponse(error_message=error)
    made.infer_response.id = request_id
    made.infer_response.parameters[FINAL].bool_param = last
    made.infer_response.raw_output_contents.append(text.encode())
    return made


Answer = Callable[[Any], list[Any]]


@dataclass
class Triton(stubs.GRPCInferenceServiceServicer):  # type: ignore[misc]  # generated without types
    """Answers each request of a stream by `answer`; ends the stream with an error where that gives None."""

    answer: Callable[[Any], list[Any] | None] = lambda asked: [response(asked.id, last=True)]
    ill: bool = False  # questions get an error
    asked: list[Any] = field(default_factory=list)
    streams: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def ModelStreamInfer(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        self.streams += 1
        try:
            async for asked in requests:
                self.asked.append(asked)
                answers = self.answer(asked)
                if answers is None:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
                for each in answers or ():
                    yield each
        finally:
            self.left.set()

    async def ModelConfig(self, asked: Any, context: Any) -> Any:
        self.asked.append(asked)
        if self.ill:
            await context.abort(grpc.StatusCode.INTERNAL, "Stub process 'x' is not healthy.")
        return pb.ModelConfigResponse()


@dataclass
class Scene:
    """What a test plays with."""

    triton: Triton
    state: State
    models: ModelBackends
    front: GrpcFront
    channel: grpc.aio.Channel
    address: str
    """The front's host:port."""
    keeper: Keeper

    @property
    def running(self) -> int:
        return sum(map(self.front.running, self.models))

    @property
    def stub(self) -> Any:
        return stubs.GRPCInferenceServiceStub(self.channel)

    async def ask(self, *requests: Any, metadata: tuple[tuple[str, str], ...] = ()) -> list[Any]:
        """Send requests on one stream and return what comes until its end."""
        call = self.stub.ModelStreamInfer(metadata=metadata)
        for each in requests:
            await call.write(each)
        await call.done_writing()
        return [answer async for answer in call]


def play(
    act: Callable[[Scene], Awaitable[None]],
    triton: Callable[[], Triton] = Triton,
    entry: Entry = EVERYBODY,
    second: str = "",
    **limits: Any,
) -> None:
    """Run `act` on a caller, a front and a Triton, which has another model of the name `second`, if that is given."""

    async def run() -> None:
        async with asyncio.timeout(DEADLINE_SECONDS), contextlib.AsyncExitStack() as stack:
            inner = free_port(())
            outer = free_port((inner,))
            behind = triton()
            server = grpc.aio.server()
            stubs.add_GRPCInferenceServiceServicer_to_server(behind, server)
            server.add_insecure_port(f"127.0.0.1:{inner}")
            await server.start()
            stack.push_async_callback(server.stop, None)
            state = State()
            given: dict[str, Any] = dict(limits)
            allowed = Limits(**given)
            http = BackendClient(1)  # nobody asks it
            every = [ModelBackend(http, state, allowed, others=("nano",))]
            if second:
                every.append(ModelBackend(http, state, allowed, name=second))
            models = ModelBackends(*every)
            front = GrpcFront(models, {one.name: f"127.0.0.1:{inner}" for one in every}, allowed, entry)
            keeper = await stack.enter_async_context(listen(front, "127.0.0.1", outer))
            for one in every:
                await front.connect(one)
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{outer}"))
            await act(Scene(behind, state, models, front, channel, f"127.0.0.1:{outer}", keeper))

    asyncio.run(run())


def errors(answers: list[Any]) -> list[tuple[str, str]]:
    """Of each answer the id and the error."""
    return [(answer.infer_response.id, answer.error_message) for answer in answers]


async def until(found: Callable[[], Any]) -> Any:
    """Wait until `found` returns something, and return it."""
    while not (value := found()):
        await asyncio.sleep(0.01)
    return value

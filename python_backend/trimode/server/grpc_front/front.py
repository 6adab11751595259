"""GrpcFront: the gRPC server that callers reach, with KServe's service and the standard health service.

Requests for answers go through a Relay. Questions about the server pass through; calls that administer it are refused.
Knows which calls there are, nothing of tensors. The connections are http2/'s, where it is said why.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NoReturn

from tritonclient.grpc import service_pb2 as pb

from ...errors import Described, Refusal, TrimodeError, shorten
from ..access.entry import EVERYBODY, Entry
from ..access.refusals import GRPC
from ..http2.caller_connection import Begun
from ..http2.outbox import Outbox
from ..models.model_backend import ModelBackend
from ..models.model_backends import ModelBackends
from ..serving import Limits, not_serving, silent_error
from .backend import SERVICE, Backend, BackendCall
from .call import Call
from .gatekeeper import MOST_OPEN_BYTES, OPEN_CALLS, admit, check_head
from .health import SERVICE as HEALTH
from .health import Health
from .messages import parsed, renamed
from .once import Once, Unary
from .relay import Relay

QUESTIONS = ("ServerMetadata", "ModelMetadata", "ModelConfig", "ModelStatistics")
"""Calls that pass through while a backend serves."""
ADMINISTRATION = tuple(
    method.name
    for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    if method.name.startswith(("Repository", "SystemShared", "CudaShared", "Trace", "Log"))
)
"""Calls that change or reveal the server's insides; nobody makes them from outside."""
INSTEAD = "use ModelStreamInfer, since this model streams"
STREAM = f"/{SERVICE}/ModelStreamInfer"
IDLE_STREAM_SECONDS = 3600.0


class GrpcFront:
    """Answers KServe's calls by the Tritons of all models."""

    def __init__(
        self, models: ModelBackends, addresses: Mapping[str, str], limits: Limits, entry: Entry = EVERYBODY
    ) -> None:
        """Ask the Tritons of `models`, each at its address by the model's name, as gRPC writes addresses."""
        self.entry = entry
        self.outbox = Outbox()
        self._models = models
        self._backends = {model.name: Backend(addresses[model.name], self.outbox) for model in models}
        for model in models:
            model.gate.on_open = self._go_on
        self._limits = limits
        self._relays: set[Relay] = set()
        self._calls = self._all_calls()

    async def connect(self, model: ModelBackend) -> None:
        """Connect to a model's Triton that has just become ready; the connection to its predecessor is closed."""
        await self._backends[model.name].connect()

    def drain(self) -> None:
        """Close every stream on which nothing runs, and the others when nothing does any more."""
        for relay in tuple(self._relays):
            relay.close(not_serving(self._models))

    def _go_on(self) -> None:
        """Read on what waited at the gate."""
        for relay in tuple(self._relays):
            if not relay.over:
                relay.drained()

    def running(self, model: ModelBackend) -> int:
        """How many requests to a model wait for their last response."""
        self._relays = {relay for relay in self._relays if not relay.over}
        return sum(relay.running_on(model) for relay in self._relays)

    def watch(self, now: float) -> None:
        """Look after streams at `now` (time.monotonic): end what is silent for too long."""
        for relay in tuple(self._relays):
            if relay.over:
                self._relays.discard(relay)
            else:
                relay.watch(now, IDLE_STREAM_SECONDS)

    async def aclose(self) -> None:
        """Close the connections to Triton."""
        for backend in self._backends.values():
            await backend.aclose()

    def begin(self, begun: Begun) -> None:
        """Answer a call that begins, once its caller may make it."""
        call = Call(begun, self._limits, partial(self.entry.refusals.count, GRPC))
        if not call.is_grpc:
            call.refuse_protocol()
            return
        try:
            check_head(begun.block)
            if call.path in OPEN_CALLS:
                caller, call.most_bytes = "", min(MOST_OPEN_BYTES, call.most_bytes)
            else:
                caller = admit(self.entry, call.metadata, call.peer)
            if call.path == STREAM:
                self._begin_stream(call, caller)
                return
            answer = self._calls.get(call.path)
            if answer is None:
                raise Refusal("not_allowed", f"{shorten(Described(call.path))} is no call of this server")
        except TrimodeError as exc:
            call.fail(exc)
            return
        call.begin(Once(call, answer))

    def _begin_stream(self, call: Call, caller: str) -> None:
        enter = partial(self.entry.visit_of_call, caller, call.metadata, call.path)
        relay = Relay(call, self._open_stream, self._models, self._limits, enter)
        self._relays.add(relay)
        call.begin(relay)
        if self._models.stopping:
            relay.close(not_serving(self._models))

    def _open_stream(self, model: ModelBackend, call: BackendCall) -> None:
        self._backends[model.name].open("ModelStreamInfer", call)

    def _all_calls(self) -> dict[str, Unary]:
        """Return what answers each call but for the one that streams requests, by its path."""
        calls: dict[str, Unary] = {
            "ModelInfer": self._infer,
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
        }
        calls |= {name: self._question(name) for name in QUESTIONS}
        calls |= {name: self._administration(name) for name in ADMINISTRATION}
        asked = Health(self._models, [SERVICE])
        found = {f"/{SERVICE}/{name}": answer for name, answer in calls.items()}
        return {**found, f"/{HEALTH}/Check": asked.check, f"/{HEALTH}/Watch": asked.watch}

    async def _live(self, message: bytes) -> bytes:
        return serialized(pb.ServerLiveResponse(live=True))

    async def _ready(self, message: bytes) -> bytes:
        return serialized(pb.ServerReadyResponse(ready=self._models.alive))

    async def _model_ready(self, message: bytes) -> bytes:
        asked = parsed(pb.ModelReadyRequest, message)
        model = self._models.find(asked.name, asked.version)
        return serialized(pb.ModelReadyResponse(ready=model.state.alive))

    async def _infer(self, message: bytes) -> bytes:
        asked = parsed(pb.ModelInferRequest, message)
        self._models.find(asked.model_name, asked.model_version)
        raise Refusal("not_applicable", "ModelInfer answers once; " + INSTEAD)

    def _question(self, name: str) -> Unary:
        kind = getattr(pb, f"{name}Request")

        async def ask(message: bytes) -> bytes:
            asked = parsed(kind, message)
            if name == "ServerMetadata":
                return await self._ask(self._models.first, name, message)
            if name == "ModelStatistics" and not asked.name:  # none asks about every model
                return b"".join([await self._ask(one, name, message) for one in self._models.to_ask])  # lists in a row
            model = self._models.find(asked.name, asked.version)
            return await self._ask(model, name, message + renamed(asked, "name", model.name))

        return ask

    async def _ask(self, model: ModelBackend, name: str, message: bytes) -> bytes:
        """Return a Triton's answer to a question about it or its model.

        Raises:
            Refusal: it does not serve, or is silent.
        """
        if not model.state.alive:
            raise not_serving(model.state)
        try:
            return await self._backends[model.name].ask(name, message, self._limits.silence_seconds)
        except TimeoutError as exc:
            raise silent_error() from exc
        except ConnectionError as exc:
            raise not_serving(model.state) from exc

    def _administration(self, name: str) -> Unary:
        async def refuse(message: bytes) -> NoReturn:
            raise Refusal("not_allowed", f"{name} administers the server, which nobody may do from outside")

        return refuse


def serialized(message: Any) -> bytes:
    """Return the bytes of a message."""
    made: bytes = message.SerializeToString()
    return made

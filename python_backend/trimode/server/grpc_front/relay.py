"""One caller's ModelStreamInfer stream: requests to Triton, responses back, and an answer to everything that came.

A Relay knows which of its requests run, so that each gets an error when the backend ends, and so that a stream on which
nothing runs can be closed. All of it happens at once in the event loop: a response costs no task, no lock and no queue
unless its caller is slow. Knows nothing of other calls.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

from tritonclient.grpc import service_pb2 as pb

from ...errors import Refusal, TrimodeError
from ...logs.request_id import NAME, named
from ..access.turnstile import Visit
from ..gate import Gate
from ..models.model_backend import ModelBackend
from ..models.model_backends import ModelBackends
from ..serving import Limits, lost_error, not_serving, silent_error
from .backend import BackendCall
from .call import Call
from .messages import checked, is_last, parsed, read_end, refusal, with_error_type

logger = logging.getLogger(__name__)

MOST_RUNNING = 1024
"""Requests of one stream that may run or wait at once; more than the server's own queue and slots together hold."""
MOST_REFUSED = 1024
"""Messages of one stream that may be refused in a row. Each answer is larger than an empty message, so who sends
nothing else makes the server work for little; a caller with a fault of its own has noticed it by then."""


class Upstream:
    """A stream of ours to a model's Triton, and the requests on it that have no last response yet, by id."""

    def __init__(self, relay: Relay, model: ModelBackend) -> None:
        self.model = model
        self.call = BackendCall(lambda message: relay.pass_on(self, message), lambda code, text: relay.lost(self))
        self.call.on_drained = relay.drained
        self.running: dict[str, deque[Visit]] = {}
        self.last_sign = time.monotonic()  # when Triton last sent something, or got something to do

    def begin(self, request_id: str, visit: Visit) -> None:
        """Count a request that is being sent."""
        if not self.running:
            self.last_sign = time.monotonic()
        self.running.setdefault(request_id, deque()).append(visit)

    def answered(self, request_id: str, error_type: str = "") -> None:
        """Count the last response to a request, if one of this id runs; its caller has it, and perhaps an error."""
        if visits := self.running.get(request_id):
            visits.popleft().leave(error_type)
            if not visits:
                del self.running[request_id]

    def ids(self) -> list[str]:
        """Return the id of each request that runs."""
        return [request_id for request_id, visits in self.running.items() for _ in visits]


class Relay:
    """Answers one call. `open_call` begins a call to a model's Triton, when one is needed; `enter` lets requests in."""

    once = False

    def __init__(
        self,
        call: Call,
        open_call: Callable[[ModelBackend, BackendCall], None],
        models: ModelBackends,
        limits: Limits,
        enter: Callable[[], Visit],
    ) -> None:
        self._call = call
        self._open_call = open_call
        self._models = models
        self._limits = limits
        self._enter = enter
        self._upstreams: list[Upstream] = []  # one of a model at most, but while its predecessor is being lost
        self._waits: tuple[bytes, Gate] | None = None  # a message, for its model's backend that is being replaced
        self._idle_since = time.monotonic()
        self._finished = False  # the caller sends no more
        self._refused = 0  # messages in a row
        self._messages = 0  # that came
        self._why: TrimodeError | None = None  # why the stream is to end once nothing runs
        self.over = False

    @property
    def running(self) -> int:
        """How many requests wait for their last response, or whether their caller has yet to take it."""
        return sum(len(up.ids()) for up in self._upstreams) + (self._call.waiting_since is not None)

    def running_on(self, model: ModelBackend) -> int:
        """How many of them are of one model; what the caller has yet to take is of each that the stream has asked."""
        own = [up for up in self._upstreams if up.model is model]
        waits = self._call.waiting_since is not None and bool(own or not self._upstreams)
        return sum(len(up.ids()) for up in own) + waits

    @property
    def busy(self) -> bool:
        """Whether something runs, so that the connection must stay; what only waits for its reader does not count."""
        return self._waits is not None or any(up.running for up in self._upstreams)

    @property
    def blocked(self) -> bool:
        """Whether requests must wait, since the caller takes no responses, Triton no requests, or it is replaced."""
        slow = self._call.waiting_since is not None or any(up.call.waiting for up in self._upstreams)
        return slow or self._waits is not None

    @property
    def held(self) -> int:
        """Bytes of the message that waits."""
        return 0 if self._waits is None else len(self._waits[0])

    def message(self, message: bytes) -> None:
        """Send a request on, or answer it with an error."""
        request_id = log_id = ""
        model = self._models.first
        try:
            request = parsed(pb.ModelInferRequest, message)
            request_id = request.id
            model = self._models.find(request.model_name, request.model_version)
            if model.gate.closed and self._why is None:
                self._waits = message, model.gate
                return
            log_id = self._log_id(request_id)
            if not model.state.alive or self._why is not None:
                raise not_serving(model.state)
            if self.running >= MOST_RUNNING:
                raise Refusal("overloaded", f"at most {MOST_RUNNING} requests of a stream may run at once")
            visit = self._enter()
            try:
                accepted = checked(request, message, model.name, visit, log_id)
                up = self._upstream(model)
            except TrimodeError as exc:
                visit.leave(exc.error_type)
                raise
        except TrimodeError as exc:
            logger.debug("refused: %s", exc.for_log(), extra=named(log_id or self._call.request_id))
            self._refuse(request_id, exc, model)
            return
        logger.debug("a request over gRPC, %d bytes, goes on to the model", len(message), extra=named(log_id))
        self._refused = 0
        up.begin(accepted.id, visit)
        up.call.send(accepted.message)

    def _log_id(self, request_id: str) -> str:
        """Return what the log names a message by: its own id, or the call's with the number of the message."""
        if NAME.fullmatch(request_id):
            return request_id
        self._messages += 1
        return f"{self._call.request_id}-{self._messages}"

    def refused(self, error: TrimodeError) -> None:
        """Answer a message that was not read."""
        self._refuse("", error, self._models.first)

    def pass_on(self, up: Upstream, message: bytes) -> None:
        """Send a response on."""
        up.last_sign = time.monotonic()
        end = read_end(message)
        if end is None:
            self._call.send_framed(message)
        else:
            self._call.send_framed(with_error_type(end, message))
            if is_last(end):
                up.answered(end.infer_response.id, end.error_message.partition(":")[0])
        if self._call.waiting_since is not None:
            up.call.stream.hold()
        elif end is not None:
            self._note_idle()

    def lost(self, up: Upstream, error: TrimodeError | None = None) -> None:
        """Answer what runs on a stream to Triton that has ended."""
        if up in self._upstreams:
            self._upstreams.remove(up)
            why = error or lost_error(up.model.state)
            for request_id in up.ids():
                self._call.refused(why.error_type)
                self._call.send(refusal(request_id, why, up.model.name))
                up.answered(request_id, why.error_type)
            self._note_idle()

    def finished(self) -> None:
        """End when nothing runs any more."""
        self._finished = True
        self._note_idle()

    def left(self) -> None:
        """Give up all that runs."""
        self.over = True
        self._waits = None
        for up in self._upstreams:
            up.call.cancel()
            for request_id in up.ids():
                up.answered(request_id, "cancelled")
        self._upstreams.clear()

    def drained(self) -> None:
        """Go on, since the caller or Triton has taken what waited."""
        if self._call.waiting_since is None:
            for up in self._upstreams:
                up.last_sign = time.monotonic()  # while the caller was slow, Triton had nothing to say
                up.call.stream.release()
        if self._waits is not None and not self._waits[1].closed:
            (message, _), self._waits = self._waits, None
            self.message(message)
        if self.over:
            return
        self._call.resume()
        self._note_idle()

    def close(self, why: TrimodeError) -> None:
        """End the stream: at once if nothing runs on it, else after the last response."""
        self._why = why
        self._note_idle()

    def watch(self, now: float, most_idle_seconds: float) -> None:
        """End what has been silent for too long at `now` (time.monotonic): a backend, or a caller without requests."""
        if self._call.waiting_since is not None:
            return  # the connection ends calls whose caller does not read
        for up in tuple(self._upstreams):
            if up.running and now - up.last_sign > self._limits.silence_seconds:
                up.call.cancel()
                self.lost(up, silent_error())
        if not self.running and self._waits is None and now - self._idle_since > most_idle_seconds:
            self.close(Refusal("deadline_exceeded", f"the stream had no request for {most_idle_seconds:.0f} s"))

    def _upstream(self, model: ModelBackend) -> Upstream:
        """Return the stream to a model's Triton, a new one if there is none.

        Raises:
            Refusal: nobody is there.
        """
        found = [up for up in self._upstreams if up.model is model]
        if not found:
            found = [up := Upstream(self, model)]
            try:
                self._open_call(model, up.call)
            except ConnectionError as exc:
                raise not_serving(model.state) from exc
            self._upstreams.append(up)
        return found[-1]

    def _refuse(self, request_id: str, error: TrimodeError, model: ModelBackend) -> None:
        self._call.refused(error.error_type)
        self._call.send(refusal(request_id, error, model.name))
        self._refused += 1
        if self._refused < MOST_REFUSED:
            self._note_idle()
            return
        text = f"at most {MOST_REFUSED} messages of a stream may be refused in a row; of the last: {error}"
        self._call.refused(error.error_type)
        self._call.fail_with(f"{error.error_type}: {text}")
        self.left()

    def _note_idle(self) -> None:
        if self.over or self.running or self._waits is not None:
            return
        self._idle_since = time.monotonic()
        if self._why is not None or self._finished:
            if self._why is not None:
                self._call.fail(self._why)
            else:
                self._call.end()
            self.left()

"""One caller's ModelStreamInfer stream: requests to Triton, responses back, and an answer to everything that came.

A Relay knows which of its requests run, so that each gets an error when the backend ends, and so that a stream on which
nothing runs can be closed. Knows nothing of other calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

from ...errors import Refusal, TrimodeError
from ..access.turnstile import Visit
from ..serving import Limits, ServingState, lost_error, not_serving, silent_error
from .messages import checked, is_last, read_request, refusal, with_error_type
from .status import abort

logger = logging.getLogger(__name__)

MOST_RUNNING = 1024
"""Requests of one stream that may run or wait at once; more than the server's own queue and slots together hold."""
WRITE_SECONDS = 60.0  # for a caller to take a response, as over HTTP


class Upstream:
    """A stream of ours to Triton, and the requests on it that have no last response yet, by id."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.running: dict[str, deque[Visit]] = {}
        self.ended = False
        self.silent = False  # it was cancelled because Triton had nothing to say for too long
        self.last_sign = time.monotonic()  # when Triton last sent something, or got something to do

    def begin(self, request_id: str, visit: Visit) -> None:
        """Count a request that is being sent."""
        if not self.running:
            self.last_sign = time.monotonic()
        self.running.setdefault(request_id, deque()).append(visit)

    def answered(self, request_id: str) -> None:
        """Count the last response to a request, if one of this id runs; its caller has it."""
        if visits := self.running.get(request_id):
            visits.popleft().leave()
            if not visits:
                del self.running[request_id]

    def ids(self) -> list[str]:
        """Return the id of each request that runs."""
        return [request_id for request_id, visits in self.running.items() for _ in visits]


class Relay:
    """Serves one stream.

    `open_call` opens a stream to Triton, the first time when a request needs it. `enter` lets in each request.
    """

    def __init__(
        self,
        context: Any,
        open_call: Callable[[], Any],
        state: ServingState,
        limits: Limits,
        enter: Callable[[], Visit],
    ) -> None:
        self._context = context
        self._open_call = open_call
        self._state = state
        self._limits = limits
        self._enter = enter
        self._writing = asyncio.Lock()  # a stream takes one write at a time
        self._writing_since: float | None = None  # time.monotonic() of the write under way
        self._task: asyncio.Task[Any] | None = None
        self._refusals = 0  # that are being written
        self._upstreams: list[Upstream] = []  # the newest last; older ones have ended and answer what ran on them
        self._pumps: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._idle_since = time.monotonic()
        self._why: TrimodeError | None = None  # why the stream is to end once nothing runs
        self._closing = asyncio.Event()

    @property
    def peer(self) -> str:
        """gRPC's name of the other end."""
        return str(self._context.peer())

    @property
    def running(self) -> int:
        """How many requests wait for their last response, or are just getting it."""
        return self._refusals + sum(len(up.ids()) for up in self._upstreams)

    async def serve(self, requests: AsyncIterator[bytes]) -> None:
        """Answer `requests` until the caller has no more, leaves, or the stream is closed."""
        self._task = asyncio.current_task()
        reading = asyncio.create_task(self._read(requests))
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait((reading, closing), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
                await self._idle.wait()
            elif self._why is not None:
                async with self._writing:  # a call that is ended in the middle of a write has no status
                    await abort(self._context, self._why)
        finally:
            reading.cancel()
            closing.cancel()
            self._drop()

    def close(self, why: TrimodeError) -> None:
        """End the stream: at once if nothing runs on it, else after the last response."""
        self._why = why
        if not self.running:
            self._closing.set()

    def watch(self, now: float, most_idle_seconds: float) -> None:
        """End what has been silent for too long at `now` (time.monotonic): a backend, or a caller without requests."""
        up = self._upstreams[-1] if self._upstreams else None
        if self._writing_since is not None:
            if now - self._writing_since > WRITE_SECONDS and self._task is not None:
                self._task.cancel()  # nobody reads, and a call with a write under way takes no status
        elif up and up.running and now - up.last_sign > self._limits.silence_seconds:
            up.silent = True
            up.call.cancel()
        elif not self.running and now - self._idle_since > most_idle_seconds:
            self.close(Refusal("deadline_exceeded", f"the stream had no request for {most_idle_seconds:.0f} s"))

    async def _read(self, requests: AsyncIterator[bytes]) -> None:
        async for message in requests:
            await self._accept(message)

    async def _accept(self, message: bytes) -> None:
        request_id = ""
        try:
            request = read_request(message, self._limits.body_bytes)
            request_id = request.id
            if not self._state.alive or self._why is not None:
                raise not_serving(self._state)
            if self.running >= MOST_RUNNING:
                raise Refusal("overloaded", f"at most {MOST_RUNNING} requests of a stream may run at once")
            visit = self._enter()
            try:
                accepted = checked(request, message, visit)
            except TrimodeError:
                visit.leave()
                raise
        except TrimodeError as exc:
            self._idle.clear()
            self._refusals += 1
            try:
                await self._write(refusal(request_id, exc))
            finally:
                self._refusals -= 1
                self._note_idle()
            return
        up = self._open()
        up.begin(accepted.id, visit)
        self._idle.clear()
        try:
            await up.call.write(accepted.message)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the stream to Triton ended: its pump answers this request as it answers all that run
        except asyncio.CancelledError:
            if cancelling():
                raise  # the caller left

    def _open(self) -> Upstream:
        if not self._upstreams or self._upstreams[-1].ended:
            self._upstreams.append(up := Upstream(self._open_call()))
            self._pumps.add(pump := asyncio.create_task(self._pump_responses(up)))
            pump.add_done_callback(self._pumps.discard)
        return self._upstreams[-1]

    async def _pump_responses(self, up: Upstream) -> None:
        """Pass responses on until Triton's stream ends; then answer what still runs with an error."""
        error: TrimodeError = TrimodeError("the front could not read a response")
        try:
            error = await self._pass_on(up)
        except asyncio.CancelledError:
            if not up.silent or cancelling():
                raise  # the caller left
            error = silent_error()
        finally:
            up.ended = True
        for request_id in up.ids():
            await self._write(refusal(request_id, error))
            up.answered(request_id)
        self._upstreams.remove(up)
        self._note_idle()

    async def _pass_on(self, up: Upstream) -> TrimodeError:
        """Pass responses on; return why there are no more."""
        try:
            while (message := await up.call.read()) is not grpc.aio.EOF:
                response = pb.ModelStreamInferResponse.FromString(message)
                up.last_sign = time.monotonic()
                await self._write(with_error_type(response, message))
                up.last_sign = time.monotonic()  # while the caller was slow, Triton had nothing to say
                if is_last(response):
                    up.answered(response.infer_response.id)
                    self._note_idle()
        except grpc.aio.AioRpcError:
            pass
        except DecodeError:
            up.call.cancel()
            logger.exception("a response of Triton's cannot be read")
        return lost_error(self._state)

    def _note_idle(self) -> None:
        if not self.running:
            self._idle_since = time.monotonic()
            self._idle.set()
            if self._why is not None:
                self._closing.set()

    async def _write(self, message: bytes) -> None:
        async with self._writing:
            self._writing_since = time.monotonic()
            try:
                with contextlib.suppress(grpc.aio.UsageError, grpc.aio.InternalError):  # the caller left
                    await self._context.write(message)
            finally:
                self._writing_since = None

    def _drop(self) -> None:
        for pump in self._pumps:
            pump.cancel()
        for up in self._upstreams:
            up.call.cancel()
            for request_id in up.ids():
                up.answered(request_id)


def cancelling() -> bool:
    """Return whether this task is being cancelled itself, and not only a call that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

"""One caller's ModelStreamInfer stream: requests to Triton, responses back, and an answer to everything that came.

A Relay knows which of its requests run, so that each gets an error when the backend ends, and so that a stream on which
nothing runs can be closed. Knows nothing of other calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as pb

from ...errors import Refusal, TrimodeError
from ..serving import Limits, ServingState, lost_error, not_serving, silent_error
from .messages import checked, is_last, read_request, refusal, with_error_type

MOST_RUNNING = 1024
"""Requests of one stream that may run or wait at once; more than the server's own queue and slots together hold."""


class Upstream:
    """A stream of ours to Triton, and the requests on it that have no last response yet, by id."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.running: Counter[str] = Counter()
        self.ended = False
        self.silent = False  # it was cancelled because Triton had nothing to say for too long
        self.last_sign = time.monotonic()  # when Triton last sent something, or got something to do

    def begin(self, request_id: str) -> None:
        """Count a request that is being sent."""
        if not self.running:
            self.last_sign = time.monotonic()
        self.running[request_id] += 1

    def responded(self, request_id: str, *, last: bool) -> None:
        """Count a response."""
        self.last_sign = time.monotonic()
        if last:
            self.running[request_id] -= 1
            self.running += Counter()  # drops what is not above zero


class Relay:
    """Serves one stream. `open_call` opens a stream to Triton, the first time when a request needs it."""

    def __init__(
        self, context: Any, open_call: Callable[[], Any], state: ServingState, limits: Limits, caller: str
    ) -> None:
        self._context = context
        self._open_call = open_call
        self._state = state
        self._limits = limits
        self._caller = caller
        self._writing = asyncio.Lock()  # a stream takes one write at a time
        self._upstream: Upstream | None = None
        self._pump: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._idle_since = time.monotonic()
        self._why: TrimodeError | None = None  # why the stream is to end once nothing runs
        self._closing = asyncio.Event()

    @property
    def running(self) -> int:
        """How many requests wait for their last response."""
        return self._upstream.running.total() if self._upstream else 0

    async def serve(self, requests: AsyncIterator[bytes]) -> None:
        """Answer `requests` until the caller has no more, leaves, or the stream is closed."""
        reading = asyncio.create_task(self._read(requests))
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait((reading, closing), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
                await self._idle.wait()
            elif self._why is not None:
                await self._context.abort(grpc.StatusCode.UNAVAILABLE, self._why.on_the_wire())
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
        up = self._upstream
        if up and up.running and now - up.last_sign > self._limits.silence_seconds:
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
            request = read_request(message)
            request_id = request.id
            if not self._state.alive or self._why is not None:
                raise not_serving(self._state)
            if self.running >= MOST_RUNNING:
                raise Refusal("overloaded", f"at most {MOST_RUNNING} requests of a stream may run at once")
            accepted = checked(request, message, self._caller, self._limits.body_bytes)
        except TrimodeError as exc:
            await self._write(refusal(request_id, exc))
            return
        up = self._open()
        up.begin(accepted.id)
        self._idle.clear()
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.CancelledError):
            # If the stream to Triton ended, the pump answers this request as it answers all that run.
            await up.call.write(accepted.message)

    def _open(self) -> Upstream:
        if self._upstream is None or self._upstream.ended:
            self._upstream = Upstream(self._open_call())
            self._pump = asyncio.create_task(self._pump_responses(self._upstream))
        return self._upstream

    async def _pump_responses(self, up: Upstream) -> None:
        """Pass responses on until Triton's stream ends; then answer what still runs with an error."""
        error: TrimodeError
        try:
            while (message := await up.call.read()) is not grpc.aio.EOF:
                response = pb.ModelStreamInferResponse.FromString(message)
                up.responded(response.infer_response.id, last=is_last(response))
                await self._write(with_error_type(response, message))
                self._note_idle(up)
            error = lost_error(self._state)
        except grpc.aio.AioRpcError:
            error = lost_error(self._state)
        except asyncio.CancelledError:
            if not up.silent:
                raise  # the caller left
            error = silent_error()
        up.ended = True
        unanswered = list(up.running.elements())
        up.running.clear()
        for request_id in unanswered:
            await self._write(refusal(request_id, error))
        self._note_idle(up)

    def _note_idle(self, up: Upstream) -> None:
        if not up.running:
            self._idle_since = time.monotonic()
            self._idle.set()
            if self._why is not None:
                self._closing.set()

    async def _write(self, message: bytes) -> None:
        async with self._writing:
            with contextlib.suppress(grpc.aio.UsageError, grpc.aio.InternalError):  # the caller left; serve() ends soon
                await self._context.write(message)

    def _drop(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
        if self._upstream is not None:
            self._upstream.call.cancel()

"""Backend: the connection to the Triton behind the front, made again whenever it is lost, and calls on it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import grpc

from ..http2.backend_connection import BackendConnection
from ..http2.frames import CANCEL, LARGEST_WINDOW
from ..http2.header_reader import Fields
from ..http2.outbox import Outbox
from .framing import PREFIX, MessageReader, framed

SERVICE = "inference.GRPCInferenceService"
RECONNECT_SECONDS = 0.1
FIELDS = [(":method", "POST"), (":scheme", "http"), (":authority", "localhost")]
MORE_FIELDS = [("content-type", "application/grpc"), ("te", "trailers")]
UNAVAILABLE: int = grpc.StatusCode.UNAVAILABLE.value[0]
OK: int = grpc.StatusCode.OK.value[0]


class StatusError(Exception):
    """Triton ended a call with an error: its status by number, and its text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class BackendCall:
    """A call to Triton. `on_message` takes each response with its prefix, `on_end` the status and text of its end."""

    busy = True

    def __init__(self, on_message: Callable[[bytes], None], on_end: Callable[[int, str], None]) -> None:
        self.on_end = on_end
        self.on_drained: Callable[[], None] = lambda: None
        self.stream: Any = None  # set by Backend.open
        self._reader = MessageReader(LARGEST_WINDOW, on_message, self._too_large)
        self._status: tuple[int, str] | None = None

    @property
    def waiting(self) -> bool:
        """Whether Triton has yet to take something."""
        return self.stream.waiting_since is not None

    def send(self, message: bytes) -> None:
        """Send a message."""
        self.stream.send(framed(message))

    def cancel(self) -> None:
        """End the call; nothing of it is heard any more."""
        self._forget()
        self.stream.reset(CANCEL)

    def fields(self, fields: Fields) -> None:
        """Take the status of the call, where it is there."""
        found = dict(fields)
        if code := found.get("grpc-status"):
            number = int(code) if code.isdigit() else UNAVAILABLE
            self._status = (number, unquote(found.get("grpc-message", "")))

    def data(self, data: bytes) -> None:
        """Take bytes of responses."""
        self._reader.feed(data)

    def ended(self) -> None:
        """Hand the status on."""
        if not self.stream.over:
            self.stream.close()
        self._end(*(self._status or (UNAVAILABLE, "")))

    def lost(self, code: int | None) -> None:
        """Hand on that Triton is gone, or has given the call up."""
        self._end(UNAVAILABLE, "")

    def drained(self) -> None:
        """Hand on that Triton has taken what waited."""
        self.on_drained()

    def _end(self, code: int, text: str) -> None:
        on_end = self.on_end
        self._forget()
        on_end(code, text)

    def _forget(self) -> None:
        """Keep nothing, nobody who hears of it included: they know the call, so it would stay until it is collected."""
        self._reader.close()
        self.on_end = lambda code, text: None
        self.on_drained = lambda: None

    def _too_large(self, size: int) -> None:
        """Pass over what no message can be."""


class Backend:
    """The Triton at `address`, which is gRPC's name for it."""

    def __init__(self, address: str, outbox: Outbox) -> None:
        self.address = address
        self._outbox = outbox
        self._connection: BackendConnection | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Connect to a Triton that has just become ready; the connection to its predecessor is closed."""
        await self.aclose()
        tried = asyncio.Event()
        self._keeping = asyncio.create_task(self._keep(tried))
        await tried.wait()

    async def aclose(self) -> None:
        """Close the connection."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _keep(self, tried: asyncio.Event) -> None:
        while True:
            with contextlib.suppress(OSError):
                self._connection = await BackendConnection.to(self.address, self._outbox)
            tried.set()
            if self._connection is not None:
                await self._connection.gone.wait()
            await asyncio.sleep(RECONNECT_SECONDS)

    def open(self, name: str, call: BackendCall) -> None:
        """Begin a call of Triton's service.

        Raises:
            ConnectionError: there is no connection now.
        """
        if self._connection is None or not self._connection.usable:
            raise ConnectionRefusedError("there is no connection to the backend")
        call.stream = self._connection.begin([*FIELDS, (":path", f"/{SERVICE}/{name}"), *MORE_FIELDS], call)

    async def ask(self, name: str, message: bytes, seconds: float) -> bytes:
        """Return the answer to a call that has one.

        Raises:
            ConnectionError: there is no connection, or it was lost.
            StatusError: Triton refused.
            TimeoutError: no answer came within `seconds`.
        """
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        found: list[bytes] = []

        def end(code: int, text: str) -> None:
            if answer.done():
                return
            if code == OK and found:
                answer.set_result(found[0][PREFIX.size :])
            elif code == UNAVAILABLE:  # its words may name a private path
                answer.set_exception(ConnectionResetError("the backend is gone"))
            else:
                answer.set_exception(StatusError(code, text))

        call = BackendCall(found.append, end)
        self.open(name, call)
        call.send(message)
        call.stream.finish()
        try:
            async with asyncio.timeout(seconds):
                return await answer
        finally:
            if not call.stream.over:
                call.cancel()

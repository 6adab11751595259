"""Call: one call of a caller, from its header fields to its status. Whoever answers it is its Listener.

Knows gRPC's protocol over HTTP/2; nothing of KServe's.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable
from functools import cached_property

import grpc

from ...errors import Refusal, TrimodeError
from ...logs.request_id import NAME
from ..http2.caller_connection import Begun
from ..http2.frames import CANCEL, header_block
from ..http2.header_reader import Fields
from ..http_front.trace import ID_BYTES, REQUEST_ID
from ..serving import Limits
from .framing import framed
from .incoming import Incoming
from .status import status_of, trailers

CODINGS = "identity,deflate,gzip"
HEAD = header_block(
    ((":status", "200"), ("content-type", "application/grpc"), ("grpc-accept-encoding", CODINGS)),
)
NOT_GRPC = header_block(((":status", "415"),))  # as gRPC's protocol has it for another content type
KIND = re.compile(r"application/grpc([+;].*)?")  # application/grpc-web is another protocol
TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])")
UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
"""Seconds of each unit of a call's deadline."""


class Call(Incoming):
    """One call. Without a listener its messages are passed over.

    Attributes:
        refused: hears the type of each error that is not the model's.
    """

    def __init__(self, begun: Begun, limits: Limits, refused: Callable[[str], None] = lambda _: None) -> None:
        super().__init__(limits, begun.connection.caller, dict(begun.fields))
        self.refused = refused
        self.path = next((value for name, value in begun.fields if name == ":path"), "")
        self.metadata = [field for field in begun.fields if not field[0].startswith(":")]
        self.peer = begun.peer
        self.over = False
        self._begun = False  # the head of the answer was sent
        self._stream = begun.accept(self)
        self._timer: asyncio.TimerHandle | None = None
        if found := TIMEOUT.fullmatch(self._head.get("grpc-timeout", "")):
            seconds = int(found[1]) * UNITS[found[2]]
            self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    @property
    def is_grpc(self) -> bool:
        """Whether it is a call of gRPC's at all."""
        return self._head.get(":method") == "POST" and bool(KIND.fullmatch(self._head.get("content-type", "")))

    @cached_property
    def request_id(self) -> str:
        """What lines of the log name it by: the caller's x-request-id, or an id of ours."""
        given = next((value for name, value in self.metadata if name == REQUEST_ID), "")
        return given if NAME.fullmatch(given) else secrets.token_hex(ID_BYTES)

    @property
    def busy(self) -> bool:
        """Whether something runs on it."""
        return self.listener is not None and (self.listener.busy or self._decoding > 0)

    @property
    def waiting_since(self) -> float | None:
        """Since when (time.monotonic) the caller has taken too little of what waits for it; None if nothing does."""
        return self._stream.waiting_since

    def send(self, message: bytes) -> None:
        """Send a message."""
        self.send_framed(framed(message))

    def send_framed(self, message: bytes) -> None:
        """Send a message that has its prefix."""
        if not self._begun:
            self._begun = True
            self._stream.send_fields(HEAD)
        self._stream.send(message)

    def end(self, code: grpc.StatusCode = grpc.StatusCode.OK, text: str = "") -> None:
        """End the call after all messages."""
        if not self.over:
            self._over()
            last = header_block(trailers(code, text))
            self._stream.end(last if self._begun else HEAD + last)

    def fail(self, error: TrimodeError) -> None:
        """End the call with an error."""
        self.refused(error.error_type)
        self.fail_with(error.on_the_wire())

    def fail_with(self, text: str) -> None:
        """End the call with the text `<error_type>: <message>` and the status of that type."""
        self.end(status_of(text.partition(":")[0]), text)

    def refuse_protocol(self) -> None:
        """End what is not a call of gRPC's."""
        self._over()
        self._stream.end(NOT_GRPC)

    def reset(self) -> None:
        """End the call at once: its caller does not read."""
        self._stream.reset(CANCEL)
        self.lost(None)

    def fields(self, fields: Fields) -> None:
        """Ignore a caller's trailers."""

    def lost(self, code: int | None) -> None:
        """Let the listener know that the caller left."""
        if not self.over:
            listener = self.listener
            self._over()
            if listener is not None:
                listener.left()

    def drained(self) -> None:
        """Let the listener know that there is room."""
        if self.listener is not None:
            self.listener.drained()

    def _over(self) -> None:
        self.over = True
        self.listener = None
        self._give_up()
        if self._timer is not None:
            self._timer.cancel()

    def _break(self, error: TrimodeError) -> None:
        listener = self.listener
        if self.waiting_since is None:
            self.fail(error)
        else:  # behind what waits, the error would wait too
            self.reset()
            return
        if listener is not None:
            listener.left()

    def _expire(self) -> None:
        self._break(Refusal("deadline_exceeded", "the call took longer than its own deadline"))

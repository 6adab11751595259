"""AsyncClient: the asyncio SDK, with the methods of the blocking Client.

Knows no protocol; the transports do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from .errors import IncompleteError, UnavailableError
from .knobs import Knobs
from .request import Message, Segment, build, build_infill, build_revise
from .result import Assembler, Completion, Piece
from .transports import AsyncTransport, Health, Options, Settings, TimeLimits, Wire, open_async_transport
from .transports.time_limits import HEALTH_SECONDS, POLL_SECONDS


class AsyncClient:
    """Talks to one server from one event loop; it takes the arguments of Client, and raises as Client does."""

    def __init__(
        self,
        url: str | None = None,
        protocol: Wire | None = None,
        **options: Unpack[Options],
    ) -> None:
        settings = Settings(**options)
        self._timeout = settings.timeout
        self._inactivity = settings.inactivity
        self._transport = open_async_transport(url, protocol, settings)

    async def generate(
        self,
        question: str | None = None,
        /,
        *,
        messages: Sequence[Message] | None = None,
        text_input: str | None = None,
        input_ids: Sequence[int] | None = None,
        timeout: float | None = None,
        **knobs: Unpack[Knobs],
    ) -> Completion:
        """Return the whole answer; see Client.generate."""
        limit = self._timeout if timeout is None else timeout
        fields = build(question, messages, text_input, input_ids, knobs, stream=False, timeout=limit)
        return await self._whole(fields, limit)

    async def infill(
        self,
        left: str | None = None,
        right: str | None = None,
        *,
        messages: Sequence[Message] | None = None,
        segments: Sequence[Segment] | None = None,
        timeout: float | None = None,
        **knobs: Unpack[Knobs],
    ) -> Completion:
        """Fill the gap between left and right; see Client.infill."""
        limit = self._timeout if timeout is None else timeout
        fields = build_infill(left, right, messages, segments, knobs, timeout=limit)
        return await self._whole(fields, limit)

    async def revise(self, text: str, *, timeout: float | None = None, **knobs: Unpack[Knobs]) -> Completion:
        """Return the revised text and its changes; see Client.revise."""
        limit = self._timeout if timeout is None else timeout
        return await self._whole(build_revise(text, knobs, timeout=limit), limit)

    def stream(
        self,
        question: str | None = None,
        /,
        *,
        messages: Sequence[Message] | None = None,
        text_input: str | None = None,
        input_ids: Sequence[int] | None = None,
        timeout: float | None = None,
        **knobs: Unpack[Knobs],
    ) -> AsyncStream:
        """Return the answer piece by piece; see Client.stream. Leaving its `async with` block cancels the request."""
        limit = self._timeout if timeout is None else timeout
        fields = build(question, messages, text_input, input_ids, knobs, stream=True, timeout=limit)
        return AsyncStream(self._transport, fields, TimeLimits(limit, self._inactivity))

    async def health(self, timeout: float = HEALTH_SECONDS) -> Health:
        """Return the server's state; an address where nobody answers is not live."""
        return await self._transport.health(timeout)

    async def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Return once requests can be sent.

        Raises:
            UnavailableError: the server is not ready after `timeout` seconds.
        """
        ends = time.monotonic() + timeout
        while not (health := await self.health(min(HEALTH_SECONDS, max(POLL_SECONDS, ends - time.monotonic())))).ok:
            if time.monotonic() >= ends:
                raise UnavailableError(f"the server is not ready after {timeout:g} s: {health.reason}")
            await asyncio.sleep(POLL_SECONDS)

    async def _whole(self, fields: dict[str, Any], limit: float | None) -> Completion:
        async with AsyncStream(self._transport, fields, TimeLimits(limit, None)) as stream:
            return await stream.finish()

    async def close(self) -> None:
        """Drop the connections, for good; requests that run end with ClosedError."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()


class AsyncStream:
    """Asynchronous iterator of one request's pieces. The request is sent at the first `anext`."""

    def __init__(self, transport: AsyncTransport, fields: Mapping[str, object], limits: TimeLimits) -> None:
        self._assembler = Assembler()
        self._responses = transport.responses(fields, limits)
        self.completion: Completion | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        try:
            outputs = await anext(self._responses)
        except StopAsyncIteration:
            if self.completion is None:
                raise IncompleteError("the server's answer ended without a finish_reason") from None
            raise
        piece = self._assembler.add(outputs)
        self.completion = piece.completion
        return piece

    async def finish(self) -> Completion:
        """Read the rest and return the Completion."""
        async for _ in self:
            pass
        assert self.completion is not None  # the iteration raises otherwise
        return self.completion

    async def aclose(self) -> None:
        """Cancel the request if it is still running; closing twice is fine."""
        await self._responses.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

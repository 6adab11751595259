"""Around every transport: a request that failed is sent again, and a client that was closed says so.

A request is sent again only if its error says that this may help, nothing of its answer came, and the wait ends before
its time limit. Knows no protocol.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing, closing
from typing import Any

from ..errors import ClosedError, IncompleteError, StalledError, TrimodeClientError
from .base import AsyncTransport, Health, Transport
from .time_limits import TimeLimits

FIRST_SECONDS = 0.5  # before the first repetition; then twice as long each time
MOST_SECONDS = 8.0  # of a wait that the server did not ask for
MOST_ASKED_SECONDS = 60.0  # of a wait that it did; a longer one is an error at once
JITTER = 0.5  # largest part taken off a wait at random, so that callers who failed together do not return together


def wait_before(repetition: int, error: TrimodeClientError, left: float | None, draw: float) -> float | None:
    """Return the seconds to wait before a repetition, None if there is to be none.

    Args:
        repetition: 0 for the first.
        error: why the try before it failed.
        left: seconds until the request's time limit, None without one.
        draw: a random number from 0 to 1.
    """
    begun = isinstance(error, StalledError) or (isinstance(error, IncompleteError) and error.begun)
    if begun or not error.retryable:
        return None
    seconds = min(MOST_SECONDS, FIRST_SECONDS * 2.0**repetition) * (1 - JITTER * draw)
    if error.retry_after is not None:
        if error.retry_after > MOST_ASKED_SECONDS:
            return None
        seconds = max(seconds, error.retry_after)
    return None if left is not None and seconds >= left else seconds


class RetryingTransport:
    """A blocking transport and the number of its repetitions."""

    def __init__(self, transport: Transport, retries: int) -> None:
        self._transport = transport
        self._retries = retries
        self._closed = threading.Event()

    def responses(self, fields: Mapping[str, Any], limits: TimeLimits) -> Generator[dict[str, Any], None, None]:
        """Send one request, several times if need be, and yield its responses; see Transport."""
        for repetition in range(self._retries + 1):
            self._refuse_if_closed()
            begun = False
            try:
                with closing(self._transport.responses(fields, limits)) as responses:
                    for outputs in responses:
                        begun = True
                        yield outputs
                return
            except Exception as exc:
                self._refuse_if_closed()
                if begun or repetition == self._retries or not isinstance(exc, TrimodeClientError):
                    raise
                seconds = wait_before(repetition, exc, limits.overall_left(), random.random())
                if seconds is None:
                    raise
            self._closed.wait(seconds)
            fields = limits.shortened(fields)

    def health(self, timeout: float) -> Health:
        """Ask for the state; see Transport."""
        self._refuse_if_closed()
        return self._transport.health(timeout)

    def close(self) -> None:
        """Drop the connections, for good."""
        self._closed.set()
        self._transport.close()

    def _refuse_if_closed(self) -> None:
        if self._closed.is_set():
            raise ClosedError("the client is closed; make another one") from None


class AsyncRetryingTransport:
    """An asyncio transport and the number of its repetitions."""

    def __init__(self, transport: AsyncTransport, retries: int) -> None:
        self._transport = transport
        self._retries = retries
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def responses(self, fields: Mapping[str, Any], limits: TimeLimits) -> AsyncGenerator[dict[str, Any], None]:
        """Send one request, several times if need be, and yield its responses; see AsyncTransport."""
        for repetition in range(self._retries + 1):
            self._refuse_if_unusable()
            begun = False
            try:
                async with aclosing(self._transport.responses(fields, limits)) as responses:
                    async for outputs in responses:
                        begun = True
                        yield outputs
                return
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if self._closed and not (task and task.cancelling()):  # gRPC's way to end the calls of a closed channel
                    self._refuse_if_unusable()
                raise
            except Exception as exc:
                self._refuse_if_unusable()
                if begun or repetition == self._retries or not isinstance(exc, TrimodeClientError):
                    raise
                seconds = wait_before(repetition, exc, limits.overall_left(), random.random())
                if seconds is None:
                    raise
            await asyncio.sleep(seconds)
            fields = limits.shortened(fields)

    async def health(self, timeout: float) -> Health:
        """Ask for the state; see AsyncTransport."""
        self._refuse_if_unusable()
        return await self._transport.health(timeout)

    async def close(self) -> None:
        """Drop the connections, for good."""
        self._closed = True
        await self._transport.close()

    def _refuse_if_unusable(self) -> None:
        if self._closed:
            raise ClosedError("the client is closed; make another one") from None
        running = asyncio.get_running_loop()
        self._loop = self._loop or running
        if self._loop is not running:
            raise ClosedError("the client belongs to another event loop; make one in each") from None

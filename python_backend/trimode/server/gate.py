"""Gate: holds new requests for answers back while the backend is replaced by its successor in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class Gate:
    """Open, unless `close` was called last. What waits at it goes on when it opens, in whatever way.

    Attributes:
        generation: how many bundles were taken up in place of another; what was made of one may not suit the next.
    """

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.on_open: Callable[[], None] = lambda: None
        self.generation = 0

    @property
    def closed(self) -> bool:
        """Whether requests have to wait."""
        return not self._open.is_set()

    def close(self) -> None:
        """Let requests wait from now on."""
        self._open.clear()

    def open(self) -> None:
        """Let those that wait go on, and the others pass."""
        if self.closed:
            self._open.set()
            self.on_open()

    async def passed(self, seconds: float) -> bool:
        """Wait until it is open, at most so long; return whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.closed:  # it may be closed again before who waits has its turn
                    await self._open.wait()
        return not self.closed

"""A request for an answer, from when it is sent until its answer was read or left.

Knows when the backend must hear that nobody reads on, not how it hears that.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from ..errors import ExhaustedError
from .backend_client import Answer


class Owner(Protocol):
    """The guard, as far as a request needs it."""

    running: int

    async def passed(self, generation: int | None) -> None:
        """Wait while the backend is replaced in order."""

    def cancel(self, tag: str) -> None:
        """End the request with this tag."""


class Asked(AbstractAsyncContextManager[Answer]):
    """A request for an answer, from when it is sent until its answer was read or left; see Guard.ask."""

    def __init__(
        self, owner: Owner, make: Callable[[], AbstractAsyncContextManager[Answer]], tag: str, generation: int | None
    ) -> None:
        self._owner = owner
        self._generation = generation
        self._make = make
        self._call: AbstractAsyncContextManager[Answer]
        self._tag = tag
        self._answer: Answer | None = None

    async def __aenter__(self) -> Answer:
        await self._owner.passed(self._generation)
        self._call = self._make()
        self._owner.running += 1
        sent = True
        try:
            self._answer = await self._call.__aenter__()
        except (ConnectionRefusedError, ExhaustedError):
            sent = False
            raise
        finally:
            if self._answer is None:
                self._end(sent=sent)
        return self._answer

    async def __aexit__(self, *why: Any) -> None:
        try:
            await self._call.__aexit__(*why)
        finally:
            self._end(sent=True)

    def _end(self, *, sent: bool) -> None:
        self._owner.running -= 1
        if sent and (self._answer is None or not self._answer.complete):
            self._owner.cancel(self._tag)

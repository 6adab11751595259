"""A request for an answer, from when it is sent until its answer was read or left.

Knows when the backend must hear that nobody reads on, not how it hears that.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from ..errors import ExhaustedError
from .backend_client import Answer


class AnswerCall(AbstractAsyncContextManager[Answer]):
    """Sends what `make` makes; calls `cancel` if that was sent and its answer is left unread. See Guard.ask."""

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[Answer]], cancel: Callable[[], None]) -> None:
        self._make = make
        self._cancel = cancel
        self._call: AbstractAsyncContextManager[Answer]
        self._answer: Answer | None = None

    async def __aenter__(self) -> Answer:
        self._call = self._make()
        sent = True
        try:
            self._answer = await self._call.__aenter__()
        except (ConnectionRefusedError, ExhaustedError):
            sent = False
            raise
        finally:
            if self._answer is None and sent:
                self._cancel()
        return self._answer

    async def __aexit__(self, *why: Any) -> None:
        try:
            await self._call.__aexit__(*why)
        finally:
            if self._answer is None or not self._answer.complete:
                self._cancel()

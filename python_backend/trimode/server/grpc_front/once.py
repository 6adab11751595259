"""Once: answers a call that has one message, by a coroutine, or by one that yields several answers."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from ...errors import UNFORESEEN, TrimodeError
from ..error_answer import with_type
from .backend import StatusError
from .call import Call

logger = logging.getLogger(__name__)

Unary = Callable[[bytes], Awaitable[bytes] | AsyncIterator[bytes]]


class Once:
    """Answers one call by `answer`; a TrimodeError that it raises is the call's status."""

    blocked = False
    once = True

    @property
    def busy(self) -> bool:
        """Whether it is being answered; one that only hears what changes need not stay."""
        return self._task is not None and not inspect.isasyncgenfunction(self._answer)

    def __init__(self, call: Call, answer: Unary) -> None:
        self._call = call
        self._answer = answer
        self._asked: bytes | None = None
        self._task: asyncio.Task[None] | None = None

    def message(self, message: bytes) -> None:
        """Take the message; of several the last counts."""
        self._asked = message

    @property
    def held(self) -> int:
        """Bytes of the message."""
        return len(self._asked or b"")

    def refused(self, error: TrimodeError) -> None:
        """End with the error of the message."""
        self._call.fail(error)

    def finished(self) -> None:
        """Answer; a call without a message has an empty one."""
        self._task = asyncio.create_task(self._run(self._asked or b""))

    def left(self) -> None:
        """Give the answer up."""
        if self._task is not None:
            self._task.cancel()

    def drained(self) -> None:
        """Nothing waits for that: answers are few."""

    async def _run(self, asked: bytes) -> None:
        try:
            found = self._answer(asked)
            if inspect.isawaitable(found):
                self._call.send(await found)
            else:
                async for each in found:
                    self._call.send(each)
            self._call.end()
        except TrimodeError as exc:
            self._call.fail(exc)
        except StatusError as exc:
            self._call.fail_with(with_type(exc.text or f"status {exc.code}"))
        except Exception:
            logger.exception("a call could not be answered")
            self._call.fail(TrimodeError(UNFORESEEN))

"""Runs the jobs of a request: each is a request to generate, with a tag by which it is cancelled if nobody waits.

A piece is what generate answers, as a dict: one for a whole answer, several for one that streams; the last of an answer
has a finish_reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Protocol

from ....errors import LostError, RequestError, TrimodeError
from ...access.turnstile import Visit
from ...backend_client import Answer
from ...body_check import check_request
from ...error_answer import error_text
from ...serving import ServingState, lost_error, not_serving, silent_error
from ..pictures import has_pictures
from .asked import Asked
from .errors import error_in, face_error

Piece = dict[str, Any]
AT_ONCE = 8
"""Most jobs of one request that run at once: half the default slots, so that a batch does not fill the queue."""
_END = object()
_DECODER = json.JSONDecoder()
_DATA = "data: "


class Asking(Protocol):
    """The backend of one model, as far as this face needs it."""

    @property
    def generate_path(self) -> str:
        """Where it answers once; with `_stream` behind it, piece by piece."""

    @property
    def generation(self) -> int:
        """Which of the bundles that followed each other is served."""

    def holding(self, generation: int) -> AbstractAsyncContextManager[None]:
        """Wait while one bundle takes the place of another, then let no other take that of this generation."""

    def ask(self, path: str, body: bytes, tag: str) -> AbstractAsyncContextManager[Answer]:
        """Send a checked request; cancel it if its answer is not read to the end."""

    async def passed(self) -> None:
        """Wait while one bundle takes the place of another."""


class Worker:
    """Sends jobs to a model, to the bundle that was served when it was made: their tokens are that one's."""

    def __init__(self, asking: Asking, state: ServingState) -> None:
        self._asking = asking
        self._generation = asking.generation
        self._state = state

    def renewed(self) -> Worker:
        """Return one for the bundle that is served now."""
        return Worker(self._asking, self._state)

    async def passed(self) -> None:
        """Wait while one bundle takes the place of another."""
        await self._asking.passed()

    @contextlib.asynccontextmanager
    async def pieces(self, asked: Asked, visit: Visit) -> AsyncIterator[AsyncIterator[tuple[int, Piece]]]:
        """Give the pieces of all jobs as they come, each with its job's number. To leave them cancels what runs.

        Raises:
            Refusal: another bundle has taken the place of this one.
            FaceError: a job failed; the others are cancelled.
        """
        async with self._asking.holding(self._generation):
            made = self._one(asked, 0, visit) if len(asked.jobs) == 1 else self._several(asked, visit)
            async with contextlib.aclosing(made) as pieces:
                yield pieces

    async def _several(self, asked: Asked, visit: Visit) -> AsyncGenerator[tuple[int, Piece]]:
        queue: asyncio.Queue[Any] = asyncio.Queue(AT_ONCE)  # a slow reader slows the jobs down
        turns = asyncio.Semaphore(AT_ONCE)

        async def run(number: int) -> None:
            try:
                async with turns, contextlib.aclosing(self._one(asked, number, visit)) as pieces:
                    async for piece in pieces:
                        await queue.put(piece)
                await queue.put((number, _END))
            except Exception as exc:
                await queue.put((number, exc))

        tasks = [asyncio.create_task(run(number)) for number in range(len(asked.jobs))]
        try:
            left = len(tasks)
            while left:
                number, found = await queue.get()
                if isinstance(found, Exception):
                    raise found
                if found is _END:
                    left -= 1
                else:
                    yield number, found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def whole(self, asked: Asked, visit: Visit) -> list[Piece]:
        """Return the only piece of each job, in order; see `pieces`."""
        found: dict[int, Piece] = {}
        async with self.pieces(asked, visit) as pieces:
            async for number, piece in pieces:
                found[number] = piece
        return [found[number] for number in range(len(asked.jobs))]

    async def _one(self, asked: Asked, number: int, visit: Visit) -> AsyncGenerator[tuple[int, Piece]]:
        job = dict(asked.jobs[number])
        streams = bool(job.get("stream"))
        tag = secrets.token_hex(8)
        path = f"{self._asking.generate_path}_stream" if streams else self._asking.generate_path
        try:
            check = partial(check_request, job, tag, visit, streaming=streams)
            body = await asyncio.to_thread(check) if has_pictures(job) else check()
            async with self._asking.ask(path, body, tag) as answer:
                if answer.status != 200:
                    raise error_in(error_text(await answer.read()), asked.names)
                if not streams:
                    found = json.loads(await answer.read())
                    if "error" in found:  # Triton sends some errors with status 200
                        raise error_in(str(found["error"]), asked.names)
                    yield number, found
                    return
                events = Events()
                while part := await answer.next():
                    for event in events.read(part):
                        if "error" in event:
                            raise error_in(str(event["error"]), asked.names)
                        yield number, event
                    if events.ended:
                        with contextlib.suppress(LostError, TimeoutError):  # the answer is whole already
                            await answer.read()  # or else the request counts as one that its caller left
                        return
                raise LostError("the stream ended before its last event")
        except RequestError as exc:
            raise face_error(exc, asked.names) from exc
        except TimeoutError as exc:
            raise face_error(silent_error()) from exc
        except ConnectionRefusedError as exc:
            raise face_error(not_serving(self._state)) from exc
        except LostError as exc:
            raise face_error(lost_error(self._state)) from exc
        except TrimodeError as exc:
            raise face_error(exc) from exc


class Events:
    """Reads the events of one of Triton's streams.

    Attributes:
        ended: the last one was read.
    """

    def __init__(self) -> None:
        self.ended = False
        self._held = ""

    def read(self, part: bytes) -> list[Piece]:
        """Take the next bytes, whole characters; return the events that are whole."""
        *whole, self._held = (self._held + part.decode("utf-8")).split("\n\n")
        found = [_DECODER.raw_decode(event, len(_DATA) * event.startswith(_DATA))[0] for event in whole]
        if found:
            self.ended = "error" in found[-1] or "finish_reason" in found[-1]
        return found

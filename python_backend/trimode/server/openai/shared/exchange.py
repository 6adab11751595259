"""One request of a client and the ways to answer it: JSON, or server-sent events. Knows the headers that clients read.

What the server has for all requests is `Service`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from json.encoder import encode_basestring
from typing import Any, TypeVar

from aiohttp import web

from ....errors import RequestError
from ....logs.request_id import current_id
from ...access.entry import Entry
from ...access.refusals import OPENAI
from ...access.turnstile import Visit
from ...body_check import read_object
from ...error_answer import ERROR_TYPE
from ...http_front.body import read_body
from ...http_front.event_stream import EventStream
from ...metrics_front.source import MetricsSource
from ...serving import Limits, ServingState
from .asked import Asked
from .errors import FaceError, face_error
from .facts import Facts
from .prompt import is_quick, prompt_tokens, with_room
from .work import Worker

VERSION = "2020-10-01"  # of OpenAI's API; its clients log it
LARGE_BODY = 16 * 1024
"""Bytes. Reading and tokenizing a larger body would hold up every stream by more than a few milliseconds."""
JSON_BODY = {"Content-Type": "application/json; charset=utf-8"}
DONE = b"data: [DONE]\n\n"

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
"""One for all: json.dumps makes a new one each time, which takes a third as long as encoding a chunk."""

Made = TypeVar("Made")
ErrorBody = Callable[[FaceError], dict[str, Any]]


@dataclass(frozen=True)
class Service:
    """What the server has for every request to one model.

    Attributes:
        model_name: the model's for KServe's clients.
        metrics: where Triton's metrics come from.
        entry: lets callers in.
    """

    model_name: str
    facts: Facts
    worker: Worker
    state: ServingState
    limits: Limits
    metrics: MetricsSource
    entry: Entry


class Services:
    """What the server has for requests to each of its models; the first one takes those that name none."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = list(services)

    def __iter__(self) -> Iterator[Service]:
        """Give that of each model, in the order in which they were named."""
        return iter(self._services)

    @property
    def first(self) -> Service:
        """That of the first model."""
        return self._services[0]

    def of(self, model: object) -> Service:
        """Return that of the model that a request names; what is no name of any is refused by the first one's names."""
        named = isinstance(model, str)
        return next((one for one in self._services if named and one.facts.names.has(str(model))), self.first)

    def renew(self, number: int, facts: Facts) -> None:
        """Serve a model of these facts from now on, in the place with this number."""
        old = self._services[number]
        self._services[number] = replace(old, facts=facts, worker=old.worker.renewed())


class Last(bytes):
    """The last events of a stream."""


class Exchange:
    """A request on its way to its answer.

    Attributes:
        service: of the model that it names, once its body is read; of the first one before that.
        counted: whether it asks for an answer, as a request of its caller.
        visit: its caller's, where it is counted.
    """

    counted = False
    visit: Visit

    def __init__(self, request: web.BaseRequest, services: Services) -> None:
        self.request = request
        self.services = services
        self.service = services.first
        self.started = time.monotonic()
        self.created = int(time.time())
        self.id = current_id() or secrets.token_hex(16)

    @property
    def seconds(self) -> float:
        """Since the request came."""
        return time.monotonic() - self.started

    async def translated(self, translate: Callable[[dict[str, Any], Facts], Made], *, aside: bool = False) -> Made:
        """Read the body and return what `translate` makes of it, in a thread if the body is large or with `aside`.

        Raises:
            FaceError: the body cannot be read, or `translate` refuses it.
        """
        async with read_body(self.request, self.service.limits) as body:
            large = len(body) > LARGE_BODY
            try:
                found = await asyncio.to_thread(read_object, body) if large else read_object(body)
            except RequestError as exc:
                raise face_error(exc) from exc
        del body  # it makes room for others' while this request waits for its model
        await self._choose(found.get("model"))
        facts = self.service.facts
        try:
            return await asyncio.to_thread(translate, found, facts) if aside or large else translate(found, facts)
        except RequestError as exc:
            raise face_error(exc) from exc

    async def _choose(self, model: object) -> None:
        """Serve this request by the model that it names; one for an answer waits while that one is replaced."""
        self.service = self.services.of(model)
        if self.counted:
            await self.service.worker.passed()
            self.service = self.services.of(model)  # which may be of another bundle

    async def with_room(self, asked: Asked) -> Asked:
        """Return `asked` with the lengths of its answers; see prompt.with_room."""
        facts = self.service.facts
        return with_room(asked, facts) if is_quick(asked) else await asyncio.to_thread(with_room, asked, facts)

    async def prompt_tokens(self, asked: Asked) -> int:
        """Return how many tokens the prompts of a request have, where every chunk is to say it; 0 otherwise."""
        return await asyncio.to_thread(prompt_tokens, asked, self.service.facts) if asked.continuous else 0

    def headers(self) -> dict[str, str]:
        """Return the headers of every answer."""
        spent = str(round(1000 * self.seconds))
        return {"x-request-id": self.id, "openai-processing-ms": spent, "openai-version": VERSION}

    def json(self, data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
        """Return the answer `data`."""
        body = dumps(data).encode("utf-8", "replace")  # what is quoted from a request may be no text
        sent = {**self.headers(), **(headers or {}), **JSON_BODY}
        return web.Response(body=body, status=status, headers=sent)

    def error(self, error: FaceError, body: ErrorBody = FaceError.body) -> web.Response:
        """Return the answer to an error; one that is this face's own is counted."""
        if not error.of_model:
            self.service.entry.refusals.count(OPENAI, error.error_type)
        return self.json(body(error), error.status, error.headers())

    async def stream(self, events: AsyncGenerator[bytes], on_error: Callable[[FaceError], bytes]) -> web.StreamResponse:
        """Send `events` as they come, `Last` with the end of the answer.

        An error before the first one has its status, a later one is the last event.

        Raises:
            FaceError: there was no first event.
        """
        async with contextlib.aclosing(events):
            first = await anext(events)
            headers = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
            headers |= self.service.entry.origins.headers(self.request)
            response = EventStream(headers={**self.headers(), **headers, "X-Accel-Buffering": "no"})
            await response.prepare(self.request)
            end, event = b"", first
            try:
                while not isinstance(event, Last):
                    await response.write(event)
                    event = await anext(events)
                end = event
            except FaceError as exc:
                end, response[ERROR_TYPE] = on_error(exc), exc.error_type
            await response.write_eof(end)
        return response


def dumps(data: object) -> str:
    """Return compact JSON; characters stay as they are."""
    return _ENCODER.encode(data)


def event(data: object) -> bytes:
    """Return one server-sent event."""
    return f"data: {dumps(data)}\n\n".encode("utf-8", "replace")


class TextFrame:
    """Events that differ in one text: what stands around it is encoded once, by `made` of a text that is a mark."""

    MARK = "\0text\0"  # no id and no name of a model has a NUL

    def __init__(self, made: Callable[[str], object]) -> None:
        self._head, self._tail = event(made(self.MARK)).split(dumps(self.MARK).encode())

    def event(self, text: str) -> bytes:
        """Return the event with this text."""
        return b"%b%b%b" % (self._head, encode_basestring(text).encode("utf-8", "replace"), self._tail)


def named_event(name: str, data: object) -> bytes:
    """Return one server-sent event with a name."""
    return f"event: {name}\n".encode() + event(data)


def error_event(error: FaceError) -> bytes:
    """Return the event that ends a stream with an error."""
    return event(error.body())


def new_id(prefix: str) -> str:
    """Return a new id of an answer."""
    return f"{prefix}{secrets.token_hex(12)}"

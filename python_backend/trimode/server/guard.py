"""The HTTP face of the server: checks requests, streams answers through, and ends what would hang.

tritonserver listens behind it on an internal port. Knows Triton's URLs and errors, nothing of its process, which
`ServingState` says is alive or not, and nothing of connections and encodings, which are http_front's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NoReturn, Protocol
from urllib.parse import unquote

from aiohttp import web

from ..api.tensors import CANCEL, MODEL_NAME
from ..errors import UNFORESEEN, Described, ExhaustedError, LostError, Refusal, TrimodeError, shorten
from ..logs.request_id import begin, current_id
from .access.entry import EVERYBODY, Entry
from .access.refusals import HTTP
from .answer_call import AnswerCall
from .backend_client import JSON, Answer, BackendClient
from .body_check import check_body
from .error_answer import ERROR_TYPE, error_response, error_text
from .gate import Gate
from .http_front import trace
from .http_front.body import read_body
from .http_front.event_stream import EventStream
from .http_front.path import path_of
from .serving import Limits, ServingState, check_model, lost_error, not_serving, silent_error

logger = logging.getLogger(__name__)

MODEL = r"/v2/models/(?P<model>[^/]+)(/versions/(?P<version>[^/]+))?"
GENERATE = re.compile(rf"{MODEL}/(?P<verb>generate|generate_stream)")
READY = re.compile(rf"/v2/health/ready|{MODEL}/ready")
LIVE = re.compile(r"/v2/health/live")
HEALTH = re.compile(r"/v2/health/(live|ready)")  # what needs no API key: probes have none
READ = re.compile(rf"/v2|/v2/models/stats|{MODEL}(/config|/stats)?")
INFER = re.compile(rf"{MODEL}/infer")
GENERATE_PATH = f"/v2/models/{MODEL_NAME}/generate"

INSTEAD = f"use POST {GENERATE_PATH} or generate_stream, or ModelStreamInfer over gRPC"
LARGE_BODY = 64 * 1024  # bytes; checking a larger body would delay every stream by more than a millisecond or two
CANCEL_SECONDS = 10.0  # for the backend to confirm a cancellation; nobody waits for it
ERROR_IN_FRONT = b'{"error":'  # of a body; Triton sends some errors with status 200


@dataclass(frozen=True)
class Route:
    """Which requests `answer` is for: those with a path like this and this method, HEAD where it is GET."""

    method: str
    path: re.Pattern[str]
    answer: Callable[[web.BaseRequest, re.Match[str]], Awaitable[web.StreamResponse]]


class Face(Protocol):
    """Answers every request with a path like `paths`, errors included; they are counted under the name `counted`."""

    paths: re.Pattern[str]
    counted: str

    async def answer(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Answer one request; `path` is as path_of gives it."""
        ...

    def refusal(self, path: str, error: TrimodeError) -> web.Response:
        """Return the answer to an error of a request that `answer` did not get."""


class Guard:
    """An aiohttp handler in front of `backend`. To serve other URLs, add a Route, or a face with `add`."""

    def __init__(
        self,
        backend: BackendClient,
        state: ServingState,
        limits: Limits,
        entry: Entry = EVERYBODY,
        gate: Gate | None = None,
    ) -> None:
        """Ask `backend`; requests for answers wait at `gate`."""
        self._gate = gate or Gate()
        self._backend = backend
        self.entry = entry
        self._state = state
        self._limits = limits
        self.running = 0  # requests for an answer that have none yet
        self._cancelling: set[asyncio.Task[None]] = set()
        self._faces: list[Face] = []
        self._routes = (
            Route("POST", GENERATE, self._generate),
            Route("GET", READ, self._read),
            Route("GET", READY, self._read),
            Route("GET", LIVE, self._live),
            Route("POST", INFER, self._infer),
        )

    def add(self, face: Face) -> None:
        """Hand the requests for other paths to a face of its own, whatever their method."""
        self._faces.append(face)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; every error is JSON `{"error": "<error_type>: <message>"}`."""
        trace.begin(request.headers)
        began = time.monotonic()
        if talkative := logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s %s from %s", request.method, shorten(Described(path_of(request))), request.remote)
        response = self.entry.origins.preflight(request) or await self._answer(request)
        if not response.prepared:  # a stream was sent with them
            response.headers.update({trace.REQUEST_ID: current_id(), **self.entry.origins.headers(request)})
        if talkative:
            logger.debug("answered with %d after %.3f s%s", response.status, time.monotonic() - began, trace.named())
        begin("")  # the connection's task waits for the next one; what it logs until then is of none
        return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._route(request)
        except ConnectionRefusedError:
            error: TrimodeError = not_serving(self._state)
        except LostError:
            error = lost_error(self._state)
        except ExhaustedError as exc:
            logger.warning("%s", exc)
            error = exc
        except TrimodeError as exc:
            error = exc
        except TimeoutError:
            error = silent_error()
        except Exception:
            if request.transport is None or request.transport.is_closing() or request.writer.output_size:
                raise  # the caller is gone or has a part of the answer: nobody to answer
            logger.exception("a request could not be answered%s", trace.named())
            error = TrimodeError(UNFORESEEN)
        self.entry.refusals.count(HTTP, error.error_type)
        logger.debug("refused: %s", error.for_log())
        return error_response(error.on_the_wire())

    def refusal(self, path: str, error: TrimodeError) -> web.Response:
        """Return the answer to an error in the form of the face for `path`, which may not be known."""
        face = next((face for face in self._faces if face.paths.fullmatch(path)), None)
        self.entry.refusals.count(HTTP if face is None else face.counted, error.error_type)
        return error_response(error.on_the_wire()) if face is None else face.refusal(path, error)

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        path, method = path_of(request), "GET" if request.method == "HEAD" else request.method
        for face in self._faces:
            if face.paths.fullmatch(path):
                return await face.answer(request, path)
        if not HEALTH.fullmatch(path):
            self.entry.admit_request(request)
        for route in self._routes:
            if route.method == method and (found := route.path.fullmatch(path)):
                if route.path is not LIVE and (model := found["model"]) is not None:
                    check_model(unquote(model), unquote(found["version"] or ""))
                return await route.answer(request, found)
        return self._without_route(request.method, path)

    def _without_route(self, method: str, path: str) -> web.Response:
        """Answer OPTIONS, or refuse what no route is for."""
        methods = {route.method for route in self._routes if path == "*" or route.path.fullmatch(path)}
        shown = shorten(Described(path))
        if not methods:
            raise Refusal("not_found", f"{shown} is not served here; see GET /v2")
        allow = {"Allow": ", ".join(sorted({*methods, *({"HEAD"} if "GET" in methods else ()), "OPTIONS"}))}
        if method == "OPTIONS":
            return web.Response(status=204, headers=allow)
        self.entry.refusals.count(HTTP, "not_allowed")
        return error_response(Refusal("not_allowed", f"{method} {shown}").on_the_wire(), allow)

    async def _live(self, request: web.BaseRequest, found: re.Match[str]) -> web.StreamResponse:
        """Answer without asking the backend: the guard lives while the backend is being replaced."""
        return web.Response()

    async def _infer(self, request: web.BaseRequest, found: re.Match[str]) -> NoReturn:
        """Refuse: Triton does not infer over HTTP with a model that streams."""
        raise Refusal("not_applicable", "infer over HTTP answers once and this model streams; " + INSTEAD)

    async def _read(self, request: web.BaseRequest, found: re.Match[str]) -> web.StreamResponse:
        """Pass on a question about the server or a model."""
        async with self._call("GET", path_of(request), b"") as answer:
            return await self._whole(request, answer)

    async def _generate(self, request: web.BaseRequest, found: re.Match[str]) -> web.StreamResponse:
        """Pass a request on with a tag of ours; if its answer is not read to the end, it is cancelled by that tag."""
        streaming = found["verb"] == "generate_stream"
        with self.entry.visit(request) as visit:
            async with read_body(request, self._limits) as body:
                tag = secrets.token_hex(8)
                if len(body) > LARGE_BODY:
                    checked = await asyncio.to_thread(check_body, body, tag, visit, streaming=streaming)
                else:
                    checked = check_body(body, tag, visit, streaming=streaming)
            del body  # an answer may take minutes
            async with self.holding(), self.ask(path_of(request), checked, tag) as answer:
                response = await (self._stream if streaming else self._whole)(request, answer)
            visit.answered(response.status, response.get(ERROR_TYPE, ""))
            return response

    @property
    def generation(self) -> int:
        """Which of the bundles that followed each other is served."""
        return self._gate.generation

    def ask(self, path: str, body: bytes, tag: str) -> AbstractAsyncContextManager[Answer]:
        """Send a checked request, within `holding`; one that is not read to its end is cancelled by its tag.

        Raises:
            Refusal: no backend serves. For other errors see BackendClient.request.
        """
        return AnswerCall(lambda: self._call("POST", path, body), lambda: self.cancel(tag))

    async def passed(self) -> None:
        """Wait while the backend is replaced in order; raise a Refusal if that takes too long."""
        if not await self._gate.passed(self._limits.silence_seconds):
            raise not_serving(self._state)

    @contextlib.asynccontextmanager
    async def holding(self, generation: int | None = None) -> AsyncIterator[None]:
        """Wait as `passed` does, then let no other backend take this one's place, for as long as a request runs.

        Raises:
            Refusal: that takes too long, or what serves now is not of `generation`, by which the request was made.
        """
        await self.passed()
        if generation not in (None, self.generation):
            raise Refusal("unavailable", "the model was replaced while the request waited, try again")
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    def cancel(self, tag: str) -> None:
        """End the request with this tag, whose caller left; nobody waits for that."""
        self._cancelling.add(task := asyncio.create_task(self._cancel(tag)))
        task.add_done_callback(self._cancelling.discard)

    def _call(self, method: str, path: str, body: bytes) -> AbstractAsyncContextManager[Answer]:
        if not self._state.alive:
            raise not_serving(self._state)
        # Not the caller's Content-Type: Triton 2.51 crashes on a large form-urlencoded body, which is curl's default.
        silence = self._limits.silence_seconds
        return self._backend.request(method, path, body, {**JSON, **trace.passed_on()}, silence=silence)

    async def _cancel(self, tag: str) -> None:
        """End a request whose caller left; Triton 2.51 notices that only while it writes a stream."""
        body = json.dumps({CANCEL: tag}).encode("ascii")
        with contextlib.suppress(OSError):
            async with self._backend.request("POST", GENERATE_PATH, body, JSON, silence=CANCEL_SECONDS) as answer:
                await answer.read()

    async def _whole(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        content = await answer.read()
        if answer.status != 200 or content.startswith(ERROR_IN_FRONT):
            return error_response(error_text(content))
        return web.Response(body=content, headers={"Content-Type": answer.content_type})

    async def _stream(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        """Pass events on as they come; a stream that ends early gets a last event that says so."""
        if answer.status != 200:
            return await self._whole(request, answer)
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", trace.REQUEST_ID: current_id()}
        response = EventStream(headers={**headers, **self.entry.origins.headers(request)})
        await response.prepare(request)
        try:
            while events := await answer.next():
                if answer.complete:
                    await response.write_eof(events)
                    return response
                await response.write(events)
        except (LostError, TimeoutError) as exc:
            error = silent_error() if isinstance(exc, TimeoutError) else lost_error(self._state)
            response[ERROR_TYPE] = error.error_type
            await response.write(b"data: " + json.dumps({"error": error.on_the_wire()}).encode() + b"\n\n")
        await response.write_eof()
        return response

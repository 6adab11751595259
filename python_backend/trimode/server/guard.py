"""The HTTP face of the server: checks requests, streams answers through, and ends what would hang.

A tritonserver for each model listens behind it on an internal port. Knows Triton's URLs and errors, nothing of its
process, which `ServingState` says is alive or not, and nothing of connections and encodings, which are http_front's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol
from urllib.parse import unquote

from aiohttp import web

from ..errors import UNFORESEEN, Described, ExhaustedError, LostError, Refusal, TrimodeError, shorten
from ..logs.request_id import begin, current_id
from .access.entry import EVERYBODY, Entry
from .access.refusals import HTTP
from .backend_client import Answer
from .body_check import check_body
from .error_answer import ERROR_TYPE, error_response, error_text
from .http_front import trace
from .http_front.body import read_body
from .http_front.event_stream import EventStream
from .http_front.path import path_of
from .models.model_backend import ModelBackend
from .models.model_backends import ModelBackends
from .serving import Limits, lost_error, not_serving, silent_error

logger = logging.getLogger(__name__)

MODEL = r"/v2/models/(?P<model>[^/]+)(/versions/(?P<version>[^/]+))?"
GENERATE = re.compile(rf"{MODEL}/(?P<verb>generate|generate_stream)")
READY = re.compile(r"/v2/health/ready")
LIVE = re.compile(r"/v2/health/live")
HEALTH = re.compile(r"/v2/health/(live|ready)")  # what needs no API key: probes have none
OF_SERVER = re.compile(r"/v2")
ALL_STATISTICS = re.compile(r"/v2/models/stats")
READ = re.compile(rf"{MODEL}(/config|/stats|/ready)?")
INFER = re.compile(rf"{MODEL}/infer")
STATISTICS = "model_stats"  # the key of Triton's list

INSTEAD = "use POST {path}/generate or generate_stream, or ModelStreamInfer over gRPC"
LARGE_BODY = 64 * 1024  # bytes; checking a larger body would delay every stream by more than a millisecond or two
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
    """An aiohttp handler in front of all models. To serve other URLs, add a Route, or a face with `add`."""

    def __init__(
        self,
        models: ModelBackends,
        limits: Limits,
        entry: Entry = EVERYBODY,
    ) -> None:
        """Ask the backends of `models`."""
        self._models = models
        self.entry = entry
        self._limits = limits
        self._faces: list[Face] = []
        self._routes = (
            Route("POST", GENERATE, self._generate),
            Route("GET", ALL_STATISTICS, self._read_statistics),
            Route("GET", READ, self._read),
            Route("GET", OF_SERVER, self._read_of_server),
            Route("GET", READY, self._read_ready),
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
            error: TrimodeError = not_serving(self._models)
        except LostError:
            error = lost_error(self._models)
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
        text = "infer over HTTP answers once and this model streams; " + INSTEAD
        raise Refusal("not_applicable", text.format(path=self._model(found).path))

    def _model(self, found: re.Match[str]) -> ModelBackend:
        """Return the model that a path names.

        Raises:
            Refusal: it is not served here.
        """
        return self._models.find(unquote(found["model"]), unquote(found["version"] or ""))

    async def _read(self, request: web.BaseRequest, found: re.Match[str]) -> web.StreamResponse:
        """Pass on a question about a model."""
        model = self._model(found)
        async with model.call("GET", model.path + found.string[found.end("model") :]) as answer:
            return await self._whole(answer)

    async def _read_of_server(self, request: web.BaseRequest, found: re.Match[str]) -> web.StreamResponse:
        """Pass on a question about the server; the first model's Triton says what all of them would."""
        async with self._models.first.call("GET", path_of(request)) as answer:
            return await self._whole(answer)

    async def _read_ready(self, request: web.BaseRequest, found: re.Match[str]) -> web.StreamResponse:
        """Answer as the first backend that is not ready does, or as all do."""
        for model in self._models:
            async with model.call("GET", path_of(request)) as answer:
                response = await self._whole(answer)
            if response.status != 200:
                break
        return response

    async def _read_statistics(self, request: web.BaseRequest, found: re.Match[str]) -> web.StreamResponse:
        """Answer with the statistics of every model that serves."""
        if not self._models.several:
            return await self._read_of_server(request, found)
        every: list[Any] = []
        for model in self._models.to_ask:
            async with model.call("GET", path_of(request)) as answer:
                content = await answer.read()
            if answer.status != 200:
                return error_response(error_text(content))
            every += json.loads(content)[STATISTICS]
        return web.json_response({STATISTICS: every})

    async def _generate(self, request: web.BaseRequest, found: re.Match[str]) -> web.StreamResponse:
        """Pass a request on with a tag of ours; if its answer is not read to the end, it is cancelled by that tag."""
        streaming = found["verb"] == "generate_stream"
        model = self._model(found)
        with self.entry.visit(request) as visit:
            async with read_body(request, self._limits) as body:
                tag = secrets.token_hex(8)
                if len(body) > LARGE_BODY:
                    checked = await asyncio.to_thread(check_body, body, tag, visit, streaming=streaming)
                else:
                    checked = check_body(body, tag, visit, streaming=streaming)
            del body  # an answer may take minutes
            path = model.path + found.string[found.end("model") :]
            async with model.holding(), model.ask(path, checked, tag) as answer:
                response = await (self._stream(request, model, answer) if streaming else self._whole(answer))
            visit.answered(response.status, response.get(ERROR_TYPE, ""))
            return response

    async def _whole(self, answer: Answer) -> web.StreamResponse:
        content = await answer.read()
        if answer.status != 200 or content.startswith(ERROR_IN_FRONT):
            return error_response(error_text(content))
        return web.Response(body=content, headers={"Content-Type": answer.content_type})

    async def _stream(self, request: web.BaseRequest, model: ModelBackend, answer: Answer) -> web.StreamResponse:
        """Pass events on as they come; a stream that ends early gets a last event that says so."""
        if answer.status != 200:
            return await self._whole(answer)
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
            error = silent_error() if isinstance(exc, TimeoutError) else lost_error(model.state)
            response[ERROR_TYPE] = error.error_type
            await response.write(b"data: " + json.dumps({"error": error.on_the_wire()}).encode() + b"\n\n")
        await response.write_eof()
        return response

"""The HTTP face of the server: limits and checks requests, streams answers through, and ends what would hang.

tritonserver listens behind it on an internal loopback port. Knows Triton's URLs and errors, nothing of its process;
`ServingState` says whether that one is alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NoReturn

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ..api.tensors import CANCEL, MODEL_NAME
from ..errors import Described, LostError, Refusal, RequestError, TrimodeError
from .backend_client import Answer, BackendClient
from .body_check import check_body
from .caller import EVERY_PEER, FORWARDED_FOR, Callers
from .error_answer import error_response, error_text
from .serving import Limits, ServingState, lost_error, not_serving, silent_error

logger = logging.getLogger(__name__)
http_logger = logging.getLogger(f"{__name__}.http")  # aiohttp's

MODEL = r"/v2/models/(?P<model>[A-Za-z0-9._-]+)(/versions/[0-9]+)?"
GENERATE = re.compile(rf"{MODEL}/(?P<verb>generate|generate_stream)")
READY = re.compile(rf"/v2/health/ready|{MODEL}/ready")
LIVE = re.compile(r"/v2/health/live")
READ = re.compile(rf"/v2|/v2/models/stats|{MODEL}(/config|/stats)?")
INFER = re.compile(rf"{MODEL}/infer")
GENERATE_PATH = f"/v2/models/{MODEL_NAME}/generate"

JSON = {"Content-Type": "application/json"}
INSTEAD = f"use POST {GENERATE_PATH} or generate_stream, or ModelStreamInfer over gRPC"
LARGE_BODY = 64 * 1024  # bytes; checking a larger body would delay every stream by more than a millisecond or two
CANCEL_SECONDS = 10.0  # for the backend to confirm a cancellation; nobody waits for it
IDLE_SECONDS = 75.0  # between two requests of a connection; longer than clients keep theirs, which then close first
SHUTDOWN_SECONDS = 2.0  # for open connections to end; requests have had the server's exit timeout before


@dataclass(frozen=True)
class Route:
    """Which requests `answer` is for: those with a path like this and this method, or any method if it is None."""

    method: str | None
    path: re.Pattern[str]
    answer: Callable[[web.BaseRequest, re.Match[str]], Awaitable[web.StreamResponse]]


class Guard:
    """An aiohttp handler in front of `backend`. To serve another URL, add its Route."""

    def __init__(
        self, backend: BackendClient, state: ServingState, limits: Limits, callers: Callers = EVERY_PEER
    ) -> None:
        self._backend = backend
        self._callers = callers
        self._state = state
        self._limits = limits
        self.running = 0  # requests for an answer that have none yet
        self._cancelling: set[asyncio.Task[None]] = set()
        self._routes = (
            Route("POST", GENERATE, self._generate),
            Route("GET", READ, self._read),
            Route("GET", READY, self._read),
            Route("GET", LIVE, self._live),
            Route(None, INFER, self._infer),
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; every error is JSON `{"error": "<error_type>: <message>"}`."""
        try:
            return await self._route(request)
        except (RequestError, Refusal) as exc:
            return error_response(exc.on_the_wire())
        except TimeoutError:
            return error_response(silent_error().on_the_wire())
        except ConnectionRefusedError:
            return error_response(not_serving(self._state).on_the_wire())
        except LostError:
            return error_response(lost_error(self._state).on_the_wire())
        except Exception as exc:
            if request.transport is None or request.transport.is_closing():
                raise  # the caller is gone, nobody to answer
            logger.exception("a request could not be answered")
            return error_response(TrimodeError(f"{type(exc).__name__}: {exc}").on_the_wire())

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        path = path_of(request)
        matching = [(route, found) for route in self._routes if (found := route.path.fullmatch(path))]
        for route, found in matching:
            if route.method in (None, request.method):
                return await route.answer(request, found)
        if matching:
            raise Refusal("not_allowed", f"{request.method} {path}")
        raise Refusal("not_found", f"{path} is not served here; see GET /v2")

    async def _live(self, request: web.BaseRequest, found: re.Match[str]) -> web.StreamResponse:
        """Answer without asking the backend: the guard lives while the backend is being replaced."""
        return web.Response()

    async def _infer(self, request: web.BaseRequest, found: re.Match[str]) -> NoReturn:
        """Refuse: Triton does not infer over HTTP with a model that streams."""
        raise Refusal("not_applicable", "infer over HTTP answers once and this model streams; " + INSTEAD)

    async def _read(self, request: web.BaseRequest, found: re.Match[str]) -> web.StreamResponse:
        """Pass on a question about the server or a model."""
        return await self._forward(request, b"")

    async def _generate(self, request: web.BaseRequest, found: re.Match[str]) -> web.StreamResponse:
        """Pass a request on with a tag of ours; if its answer is not read to the end, it is cancelled by that tag."""
        streaming = found["verb"] == "generate_stream"
        body = await read_body(request, self._limits)
        if found["model"] != MODEL_NAME:
            return await self._forward(request, body)
        tag = secrets.token_hex(8)
        caller = self._callers.of(request.remote or "", request.headers.getall(FORWARDED_FOR, ()))
        if len(body) > LARGE_BODY:
            checked = await asyncio.to_thread(check_body, body, tag, caller, streaming=streaming)
        else:
            checked = check_body(body, tag, caller, streaming=streaming)
        answer: Answer | None = None
        self.running += 1
        try:
            async with self._call(request, checked) as answer:
                return await (self._stream if streaming else self._whole)(request, answer)
        finally:
            self.running -= 1
            if answer is None or not answer.complete:
                self._cancelling.add(task := asyncio.create_task(self._cancel(tag)))
                task.add_done_callback(self._cancelling.discard)

    async def _forward(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        async with self._call(request, body) as answer:
            return await self._whole(request, answer)

    def _call(self, request: web.BaseRequest, body: bytes) -> AbstractAsyncContextManager[Answer]:
        if not self._state.alive:
            raise not_serving(self._state)
        # Not the caller's Content-Type: Triton 2.51 crashes on a large form-urlencoded body, which is curl's default.
        silence = self._limits.silence_seconds
        return self._backend.request(request.method, path_of(request), body, JSON, silence=silence)

    async def _cancel(self, tag: str) -> None:
        """End a request whose caller left; Triton 2.51 notices that only while it writes a stream."""
        body = json.dumps({CANCEL: tag}).encode("ascii")
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with self._backend.request("POST", GENERATE_PATH, body, JSON, silence=CANCEL_SECONDS) as answer:
                await answer.read()

    async def _whole(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        content = await answer.read()
        if answer.status != 200:
            return error_response(error_text(content))
        return web.Response(body=content, headers={"Content-Type": answer.content_type})

    async def _stream(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        """Pass events on as they come; a stream that ends early gets a last event that says so."""
        if answer.status != 200:
            return await self._whole(request, answer)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        try:
            async for event in answer.parts():
                await response.write(event)
        except (LostError, TimeoutError) as exc:
            error = silent_error() if isinstance(exc, TimeoutError) else lost_error(self._state)
            await response.write(b"data: " + json.dumps({"error": error.on_the_wire()}).encode() + b"\n\n")
        await response.write_eof()
        return response


def path_of(request: web.BaseRequest) -> str:
    """Return the path as it was sent, without a query: what is matched is what Triton gets."""
    return request.raw_path.partition("?")[0]


async def read_body(request: web.BaseRequest, limits: Limits) -> bytes:
    """Read the body; one that is too large is refused before Triton gets any of it.

    Raises:
        Refusal: it is larger than the limit, or does not arrive in time.
        RequestError: it is not encoded as its Content-Encoding says, or not sent as its framing says.
    """
    _check_size(request.content_length or 0, limits)
    if request.headers.get("Expect", "").lower() == "100-continue":
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.upload_seconds):
            while part := await request.content.readany():
                parts.append(part)
                size += len(part)
                _check_size(size, limits)
    except TimeoutError as exc:
        raise Refusal("deadline_exceeded", "the body did not arrive in time") from exc
    except web.RequestPayloadError as exc:
        text = "cannot be read as its Content-Encoding and Transfer-Encoding say"
        raise RequestError("the body", text, Described("other bytes"), error_type="bad_json") from exc
    return b"".join(parts)


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.body_bytes:
        raise Refusal("too_large", f"the body must be at most {limits.body_bytes} bytes, got {size}")


def _in_one_line(record: logging.LogRecord) -> bool:
    """Log a request that is not HTTP/1 in one line, without aiohttp's traceback: gRPC clients often try this port."""
    exc = record.exc_info[1] if record.exc_info else None
    if isinstance(exc, HttpProcessingError | web.RequestPayloadError):
        said = exc.message if isinstance(exc, HttpProcessingError) else str(exc)
        record.msg += ": %s"
        record.args = (*(record.args or ()), said.partition("\n")[0].rstrip(":"))
        record.levelno, record.levelname, record.exc_info = logging.WARNING, "WARNING", None
    return True


http_logger.addFilter(_in_one_line)


@contextlib.asynccontextmanager
async def listen(guard: Guard, host: str, port: int) -> AsyncIterator[None]:
    """Answer on `host`:`port` inside the block."""
    server = web.Server(
        guard.handle, handler_cancellation=True, access_log=None, logger=http_logger, keepalive_timeout=IDLE_SECONDS
    )
    runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()

"""The HTTP face of the server: caps and checks what comes in, streams through what goes out, ends what would hang.

tritonserver listens behind it on an internal loopback port. Knows Triton's URLs and errors, nothing of its process;
`Backend` tells it whether that one lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NoReturn, Protocol

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ..api.tensors import CANCEL, MODEL_NAME
from ..errors import ERROR_TYPES, EngineError, LostError, Refusal, RequestError
from .backend_client import Answer, Exchange, Upstream
from .body_check import check_body

logger = logging.getLogger(__name__)
http_logger = logging.getLogger(f"{__name__}.http")  # aiohttp's

MODEL = r"/v2/models/(?P<model>[A-Za-z0-9._-]+)(/versions/[0-9]+)?"
GENERATE = re.compile(rf"{MODEL}/(?P<verb>generate|generate_stream)")
READY = re.compile(rf"/v2/health/ready|{MODEL}/ready")
LIVE = "/v2/health/live"  # answered here: the guard lives while the backend is being replaced
READ = re.compile(rf"/v2|/v2/models/stats|{MODEL}(/config|/stats)?")
INFER = re.compile(rf"{MODEL}/infer")  # Triton has no infer over HTTP for a model that streams

ERROR_TYPE = re.compile(r"[a-z][a-z_]*(?=: )")
LOST = EngineError("the backend ended before the answer was complete; it is being replaced, send the request again")
JSON = {"Content-Type": "application/json"}
INSTEAD = f"use POST /v2/models/{MODEL_NAME}/generate or generate_stream, or ModelStreamInfer over gRPC"
LARGE_BODY = 64 * 1024  # bytes, from which a check would hold up every stream for more than a millisecond or two
SILENT = "deadline_exceeded: the backend was silent for too long"


class Backend(Protocol):
    """What the guard wants to know of the supervisor."""

    alive: bool

    @property
    def stopping(self) -> bool:
        """Whether the server is ending in order."""


@dataclass(frozen=True)
class Limits:
    """Most bytes of a body, and the longest silence in seconds, from the caller sending and the backend answering."""

    body_bytes: int = 8 * 2**20
    upload_seconds: float = 60.0
    silence_seconds: float = 300.0


class Guard:
    """An aiohttp handler in front of `upstream`."""

    def __init__(self, upstream: Upstream, backend: Backend, limits: Limits) -> None:
        self._upstream = upstream
        self._backend = backend
        self._limits = limits
        self._cancelling: set[asyncio.Task[None]] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; every error is JSON `{"error": "<error_type>: <message>"}`."""
        try:
            return await self._route(request)
        except (RequestError, Refusal) as exc:
            return error_response(exc.on_the_wire())
        except TimeoutError:
            return error_response(SILENT)
        except ConnectionRefusedError:
            return error_response(self._not_serving().on_the_wire())
        except LostError:
            return error_response(LOST.on_the_wire())
        except Exception as exc:
            if request.transport is None:
                raise  # the caller is gone, nobody to answer
            logger.exception("a request could not be answered")
            return error_response(f"internal: {type(exc).__name__}: {exc}")

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        path = path_of(request)
        if request.method == "POST" and (found := GENERATE.fullmatch(path)):
            return await self._generate(request, found["model"], streaming=found["verb"] == "generate_stream")
        if request.method == "GET" and (READ.fullmatch(path) or READY.fullmatch(path)):
            return await self._forward(request, b"")
        if path == LIVE and request.method == "GET":
            return web.Response()
        if INFER.fullmatch(path):
            raise Refusal("not_applicable", "infer over HTTP answers once and this model streams; " + INSTEAD)
        if path == LIVE or any(pattern.fullmatch(path) for pattern in (GENERATE, READ, READY)):
            raise Refusal("not_allowed", f"{request.method} {path}")
        raise Refusal("not_found", f"{path} is not served here; see GET /v2")

    async def _body(self, request: web.BaseRequest) -> bytes:
        """Read the body up to the cap; nothing of a larger one reaches Triton."""
        cap = self._limits.body_bytes
        if (request.content_length or 0) > cap:
            self._too_large(request.content_length or 0)
        if request.headers.get("Expect", "").lower() == "100-continue":
            assert request.transport is not None
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.upload_seconds):
                while part := await request.content.readany():
                    parts.append(part)
                    size += len(part)
                    if size > cap:
                        self._too_large(size)
        except TimeoutError as exc:
            raise Refusal("deadline_exceeded", "the body did not arrive in time") from exc
        return b"".join(parts)

    def _too_large(self, size: int) -> NoReturn:
        raise Refusal("too_large", f"the body must be at most {self._limits.body_bytes} bytes, got {size}")

    def _call(self, request: web.BaseRequest, body: bytes, path: str) -> Exchange:
        if not self._backend.alive:
            raise self._not_serving()
        # Content-Type is ours: Triton 2.51 crashes on a large form-urlencoded body, curl's default.
        return self._upstream.request(request.method, path, body, JSON, silence=self._limits.silence_seconds)

    def _not_serving(self) -> Refusal:
        state = "is stopping" if self._backend.stopping else "is starting, try again"
        return Refusal("unavailable", f"the server {state}")

    async def _forward(self, request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        async with self._call(request, body, path_of(request)) as answer:
            return await self._whole(request, answer)

    async def _generate(self, request: web.BaseRequest, model: str, *, streaming: bool) -> web.StreamResponse:
        """Pass a request on under a name of ours, by which it is cancelled when its answer is not read to the end."""
        body = await self._body(request)
        if model != MODEL_NAME:
            return await self._forward(request, body)
        name = secrets.token_hex(8)
        if len(body) > LARGE_BODY:
            checked = await asyncio.to_thread(check_body, body, name, streaming=streaming)
        else:
            checked = check_body(body, name, streaming=streaming)
        exchange = self._call(request, checked, path_of(request))
        try:
            async with exchange as answer:
                return await (self._stream if streaming else self._whole)(request, answer)
        finally:
            if not exchange.complete:
                self._cancelling.add(task := asyncio.create_task(self._cancel(name)))
                task.add_done_callback(self._cancelling.discard)

    async def _cancel(self, name: str) -> None:
        """End a request: Triton 2.51 notices a caller's leaving only when it writes to it, /generate not even then."""
        body = json.dumps({CANCEL: name}).encode("ascii")
        path = f"/v2/models/{MODEL_NAME}/generate"
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with self._upstream.request("POST", path, body, JSON, silence=10.0) as answer:
                await answer.read()

    async def _whole(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        content = await answer.read()
        if answer.status != 200:
            return error_response(_error_text(content), answer.status)
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
            text = SILENT if isinstance(exc, TimeoutError) else LOST.on_the_wire()
            await response.write(b"data: " + json.dumps({"error": text}).encode() + b"\n\n")
        await response.write_eof()
        return response


def path_of(request: web.BaseRequest) -> str:
    """Return the path as it was sent, without a query: what is matched is what Triton gets."""
    return request.raw_path.partition("?")[0]


def _error_text(body: bytes) -> str:
    """Return the text of Triton's error body, JSON with or without "data: " in front."""
    try:
        return str(json.loads(body.strip().removeprefix(b"data: "))["error"])
    except (ValueError, KeyError, TypeError):
        return "internal: " + body[:200].decode("utf-8", "replace")


def error_response(text: str, status: int = 400) -> web.Response:
    """Return the JSON error response; the status follows from the error_type in front, if there is a known one."""
    found = ERROR_TYPE.match(text)
    status = (ERROR_TYPES[found[0]].http_status if found[0] in ERROR_TYPES else 400) if found else status
    headers = {"Retry-After": "1"} if status == 503 else None
    return web.json_response({"error": text}, status=status, headers=headers)


def _in_one_line(record: logging.LogRecord) -> bool:
    """Leave out where aiohttp found that a request is none of HTTP/1, as every gRPC client's is that comes here."""
    exc = record.exc_info[1] if record.exc_info else None
    if isinstance(exc, HttpProcessingError):
        record.msg += ": %s"
        record.args = (*(record.args or ()), exc.message.partition("\n")[0].rstrip(":"))
        record.levelno, record.levelname, record.exc_info = logging.WARNING, "WARNING", None
    return True


http_logger.addFilter(_in_one_line)


@contextlib.asynccontextmanager
async def listen(guard: Guard, host: str, port: int) -> AsyncIterator[None]:
    """Answer on `host`:`port` inside the block."""
    server = web.Server(guard.handle, handler_cancellation=True, access_log=None, logger=http_logger)
    runner = web.ServerRunner(server, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()

"""HTTP, blocking and for asyncio, through Triton's generate and generate_stream, on httpx.

Knows nothing of fields and outputs. NVIDIA's own HTTP client speaks only /infer, which Triton refuses for a model that
streams. Neither transport takes a proxy from the environment.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import suppress
from threading import Timer
from typing import Any

import httpx

from ..errors import DeadlineError, http_error
from .base import Health
from .http_common import (
    ASYNC_HOOKS,
    CONNECT_SECONDS,
    HEADERS,
    HOOKS,
    POOL,
    body,
    config_path,
    endpoint,
    health_paths,
    http_failure,
    modes_in,
    parse,
    parse_events,
)
from .options import Connection
from .sse import SseParser
from .time_limits import TimeLimits

_TIMED_OUT = (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout)
_FAILED = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError)


class HttpTransport:
    """One connection pool; threads may share it."""

    def __init__(self, connection: Connection) -> None:
        self._url = str(connection.address)
        self._model = connection.model
        pool = httpx.HTTPTransport(verify=connection.tls.context(), limits=POOL, trust_env=False)
        self._client = httpx.Client(transport=pool, headers=connection.headers, trust_env=False, event_hooks=HOOKS)
        self._answers: set[httpx.Response | None] = set()  # that are being read

    def responses(self, fields: Mapping[str, Any], limits: TimeLimits) -> Generator[dict[str, Any], None, None]:
        """Send one request and yield its responses; see Transport."""
        url = self._url + endpoint(self._model, fields)
        left = limits.seconds_left()
        timeout = httpx.Timeout(left, connect=CONNECT_SECONDS if left is None else min(CONNECT_SECONDS, left))
        answer: httpx.Response | None = None
        try:
            with self._client.stream("POST", url, content=body(fields), headers=HEADERS, timeout=timeout) as answer:
                self._answers.add(answer)
                pieces = _pieces(answer, timeout.read, limits)
                if answer.status_code != 200:
                    raise http_error(answer.status_code, b"".join(pieces), answer.headers.get("Retry-After"))
                if not fields["stream"]:
                    yield parse(b"".join(pieces))
                    return
                parser = SseParser()
                for piece in pieces:
                    yield from parse_events(parser, piece)
        except _TIMED_OUT:
            raise limits.error() from None
        except httpx.ConnectTimeout as exc:
            ours = left is not None and left < CONNECT_SECONDS
            raise (limits.error() if ours else http_failure(exc, self._url)) from None
        except _FAILED as exc:
            raise http_failure(exc, self._url, begun=answer is not None) from None
        finally:
            self._answers.discard(answer)

    def health(self, timeout: float) -> Health:
        """Ask for the state; see Transport."""
        states, limits = [False, False, False], TimeLimits(timeout, None)
        try:
            for index, path in enumerate(health_paths(self._model)):
                left = limits.seconds_left()
                states[index] = self._client.get(self._url + path, timeout=left).status_code == 200
            asked = self._url + config_path(self._model)
            modes = modes_in(self._client.get(asked, timeout=limits.seconds_left())) if states[2] else ()
        except (*_TIMED_OUT, httpx.ConnectTimeout, DeadlineError):
            return Health.from_answers(self._url, *states, reason=f"{self._url} did not answer within {timeout:g} s")
        except _FAILED as exc:
            return Health.from_answers(self._url, *states, reason=str(http_failure(exc, self._url)))
        return Health.from_answers(self._url, *states, modes=modes)

    def close(self) -> None:
        """Drop the connections; a read of an answer in another thread ends."""
        for answer in filter(None, list(self._answers)):
            _shut_down(answer)
        self._client.close()


class AsyncHttpTransport:
    """One connection pool, for one event loop."""

    def __init__(self, connection: Connection) -> None:
        self._url = str(connection.address)
        self._model = connection.model
        pool = httpx.AsyncHTTPTransport(verify=connection.tls.context(), limits=POOL, trust_env=False)
        connecting = httpx.Timeout(None, connect=CONNECT_SECONDS)  # TimeLimits hold for the rest
        self._client = httpx.AsyncClient(
            transport=pool, headers=connection.headers, trust_env=False, timeout=connecting, event_hooks=ASYNC_HOOKS
        )

    async def responses(self, fields: Mapping[str, Any], limits: TimeLimits) -> AsyncGenerator[dict[str, Any], None]:
        """Send one request and yield its responses; see AsyncTransport."""
        url = self._url + endpoint(self._model, fields)
        answer: httpx.Response | None = None
        try:
            request = self._client.build_request("POST", url, content=body(fields), headers=HEADERS)
            async with asyncio.timeout(limits.seconds_left()):
                answer = await self._client.send(request, stream=True)
            if answer.status_code != 200 or not fields["stream"]:
                async with asyncio.timeout(limits.seconds_left()):
                    whole = await answer.aread()
                if answer.status_code != 200:
                    raise http_error(answer.status_code, whole, answer.headers.get("Retry-After"))
                yield parse(whole)
                return
            parser, pieces = SseParser(), answer.aiter_bytes()
            while True:
                async with asyncio.timeout(limits.seconds_left()):
                    piece = await anext(pieces, b"")
                for outputs in parse_events(parser, piece):
                    yield outputs
                if not piece:
                    return
        except TimeoutError:
            raise limits.error() from None
        except _FAILED as exc:
            raise http_failure(exc, self._url, begun=answer is not None) from None
        finally:
            if answer is not None:
                await answer.aclose()  # an answer that was read to its end has returned its connection already

    async def health(self, timeout: float) -> Health:
        """Ask for the state; see AsyncTransport."""
        states = [False, False, False]
        try:
            async with asyncio.timeout(timeout):
                for index, path in enumerate(health_paths(self._model)):
                    states[index] = (await self._client.get(self._url + path)).status_code == 200
                modes = modes_in(await self._client.get(self._url + config_path(self._model))) if states[2] else ()
        except TimeoutError:
            return Health.from_answers(self._url, *states, reason=f"{self._url} did not answer within {timeout:g} s")
        except _FAILED as exc:
            return Health.from_answers(self._url, *states, reason=str(http_failure(exc, self._url)))
        return Health.from_answers(self._url, *states, modes=modes)

    async def close(self) -> None:
        """Drop the connections."""
        await self._client.aclose()


def _shut_down(answer: httpx.Response) -> None:
    """End the connection of an answer that is being read, and so the read."""
    if not answer.is_closed:  # else its connection may have another request by now
        with suppress(OSError):
            answer.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def _pieces(answer: httpx.Response, read_seconds: float | None, limits: TimeLimits) -> Iterator[bytes]:
    """Yield bytes as they arrive, each within the time that is left, and b"" at the end.

    httpx waits `read_seconds` for each; when less is left, a timer shuts the connection down, which ends the read.
    """
    rang = False

    def ring() -> None:
        nonlocal rang
        rang = True
        _shut_down(answer)

    timer: Timer | None = None
    pieces = answer.iter_bytes()
    try:
        while True:
            left = limits.seconds_left()
            if timer is None and left is not None and read_seconds is not None and left < read_seconds:
                timer = Timer(left, ring)
                timer.daemon = True
                timer.start()
            piece = next(pieces, b"")
            if rang and not piece:
                raise limits.error()
            yield piece
            if not piece:
                return
    except httpx.HTTPError:
        if rang:
            raise limits.error() from None
        raise
    finally:
        if timer is not None:
            timer.cancel()

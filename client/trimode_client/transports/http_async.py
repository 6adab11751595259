"""HTTP for asyncio, through Triton's generate and generate_stream, on aiohttp's connection pool.

Knows nothing of fields and outputs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp

from ..errors import TrimodeClientError, http_error, unreachable
from .base import Health
from .http_common import CONNECT_SECONDS, HEADERS, base_url, body, broken_answer, endpoint, health_paths, parse
from .sse import SseParser
from .time_limits import TimeLimits

_ONLY_CONNECTING = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)  # TimeLimits hold for the rest


class AsyncHttpTransport:
    """One connection pool, made inside the running event loop at first use."""

    def __init__(self, url: str, model: str) -> None:
        self._url = base_url(url)
        self._model = model
        self._opened: aiohttp.ClientSession | None = None

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(timeout=_ONLY_CONNECTING, connector=aiohttp.TCPConnector(limit=0))
        return self._opened

    async def responses(self, fields: Mapping[str, Any], limits: TimeLimits) -> AsyncGenerator[dict[str, Any], None]:
        """Send one request and yield its responses; see AsyncTransport."""
        url = self._url + endpoint(self._model, fields)
        answer: aiohttp.ClientResponse | None = None
        try:
            sent = self._session.post(url, data=body(fields), headers=HEADERS)
            answer = await asyncio.wait_for(sent, limits.seconds_left())
            if answer.status != 200:
                raise http_error(answer.status, await asyncio.wait_for(answer.read(), limits.seconds_left()))
            if not fields["stream"]:
                yield parse(await asyncio.wait_for(answer.read(), limits.seconds_left()))
                return
            parser = SseParser()
            while piece := await asyncio.wait_for(answer.content.readany(), limits.seconds_left()):
                for event in parser.feed(piece):
                    yield parse(event)
            for event in parser.end():
                yield parse(event)
        except TimeoutError:
            raise limits.error() from None
        except aiohttp.ClientError as exc:
            raise _error(exc, self._url) from None
        finally:
            if answer is not None:
                answer.close()  # an answer that was read to its end has returned its connection already

    async def health(self, timeout: float) -> Health:
        """Ask for the state; see AsyncTransport."""
        limit = aiohttp.ClientTimeout(total=timeout)
        states = [False, False, False]
        try:
            for index, path in enumerate(health_paths(self._model)):
                async with self._session.get(self._url + path, timeout=limit) as answer:
                    states[index] = answer.status == 200
        except TimeoutError:
            return Health.from_answers(self._url, *states, reason=f"{self._url} did not answer within {timeout:g} s")
        except aiohttp.ClientError as exc:
            return Health.from_answers(self._url, *states, reason=str(_error(exc, self._url)))
        return Health.from_answers(self._url, *states)

    async def close(self) -> None:
        """Drop the connections."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None


def _error(exc: aiohttp.ClientError, url: str) -> TrimodeClientError:
    if isinstance(exc, aiohttp.ClientConnectorError):
        return unreachable(url, "HTTP", exc)
    return broken_answer(exc, url)

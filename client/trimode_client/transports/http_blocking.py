"""HTTP for plain functions, through Triton's generate and generate_stream, on urllib3's connection pool.

NVIDIA's own HTTP client speaks only /infer, which Triton refuses for a model that streams.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError, ProtocolError, ReadTimeoutError

from ..errors import TrimodeClientError, UnavailableError, http_error, unreachable
from .base import Health
from .http_common import (
    CONNECT_SECONDS,
    HEADERS,
    READ_BYTES,
    base_url,
    body,
    broken_answer,
    endpoint,
    health_paths,
    parse,
)
from .sse import SseParser
from .time_limits import TimeLimits

_KEPT_CONNECTIONS = 32  # threads beyond these open a connection for each request


class HttpTransport:
    """One connection pool; threads may share it."""

    def __init__(self, url: str, model: str) -> None:
        self._url = base_url(url)
        self._model = model
        self._pool = urllib3.PoolManager(maxsize=_KEPT_CONNECTIONS, retries=False)

    def responses(self, fields: Mapping[str, Any], limits: TimeLimits) -> Generator[dict[str, Any], None, None]:
        """Send one request and yield its responses; see Transport."""
        answer: Any = None
        try:
            answer = self._pool.request(
                "POST",
                self._url + endpoint(self._model, fields),
                body=body(fields),
                headers=HEADERS,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=limits.seconds_left()),
                preload_content=False,
            )
            if answer.status != 200:
                raise http_error(answer.status, answer.read())
            if not fields["stream"]:
                yield parse(answer.read())
                return
            yield from self._events(answer, limits)
        except (ReadTimeoutError, TimeoutError):
            raise limits.error() from None
        except HTTPError as exc:
            raise _error(exc, self._url) from None
        finally:
            if answer is not None:
                answer.close()  # an answer that was read to its end has returned its connection already

    @staticmethod
    def _events(answer: Any, limits: TimeLimits) -> Generator[dict[str, Any], None, None]:
        parser = SseParser()
        for piece in _pieces(answer, limits):
            for event in parser.feed(piece):
                yield parse(event)
        for event in parser.end():
            yield parse(event)

    def health(self, timeout: float) -> Health:
        """Ask for the state; see Transport."""
        states = [False, False, False]
        try:
            for index, path in enumerate(health_paths(self._model)):
                states[index] = self._pool.request("GET", self._url + path, timeout=timeout).status == 200
        except HTTPError as exc:
            return Health.from_answers(self._url, *states, reason=str(_error(exc, self._url)))
        return Health.from_answers(self._url, *states)

    def close(self) -> None:
        """Drop the connections."""
        self._pool.clear()


def _error(exc: HTTPError, url: str) -> TrimodeClientError:
    if isinstance(exc, NewConnectionError | MaxRetryError):
        return unreachable(url, "HTTP", exc)
    if isinstance(exc, ProtocolError):
        return broken_answer(exc, url)
    return UnavailableError(f"{url} cannot be asked: {exc}")


def _pieces(answer: Any, limits: TimeLimits) -> Generator[bytes, None, None]:
    """Yield bytes as they arrive, each within the time that is left."""
    while True:
        _set_timeout(answer, limits.seconds_left())
        piece = answer.read1(READ_BYTES)
        if not piece:
            return
        yield piece


def _set_timeout(answer: Any, seconds: float | None) -> None:
    sock = getattr(answer.connection, "sock", None)
    if sock is not None:
        sock.settimeout(seconds)

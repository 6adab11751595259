"""HTTP for plain functions, through Triton's generate and generate_stream, on urllib3's connection pool.

tritonclient's own HTTP client speaks only /infer, which Triton refuses for a model that streams.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError, ProtocolError, ReadTimeoutError

from ..errors import TrimodeClientError, UnavailableError, http_error, unreachable
from . import Health
from .http_common import HEADERS, PIECE, base, body, broken, endpoint, health_paths, parse
from .sse import SseParser
from .time_limits import Patience


class HttpTransport:
    """One connection pool; threads may share it."""

    def __init__(self, url: str, model: str) -> None:
        self._url = base(url)
        self._model = model
        self._pool = urllib3.PoolManager(maxsize=32, retries=False)

    def responses(self, fields: Mapping[str, Any], patience: Patience) -> Generator[dict[str, Any], None, None]:
        """Send one request and yield its responses; see Transport."""
        answer: Any = None
        try:
            answer = self._pool.request(
                "POST",
                self._url + endpoint(self._model, fields),
                body=body(fields),
                headers=HEADERS,
                timeout=urllib3.Timeout(connect=10.0, read=patience.wait()),
                preload_content=False,
            )
            if answer.status != 200:
                raise http_error(answer.status, answer.read())
            if not fields["stream"]:
                yield parse(answer.read())
                return
            yield from self._events(answer, patience)
        except (ReadTimeoutError, TimeoutError):
            raise patience.exhausted() from None
        except HTTPError as exc:
            raise _error(exc, self._url) from None
        finally:
            if answer is not None:
                answer.close()  # an answer that was read to its end has already given its connection back

    @staticmethod
    def _events(answer: Any, patience: Patience) -> Generator[dict[str, Any], None, None]:
        parser = SseParser()
        for piece in _pieces(answer, patience):
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
            return Health.told(self._url, *states, reason=str(_error(exc, self._url)))
        return Health.told(self._url, *states)

    def close(self) -> None:
        """Drop the connections."""
        self._pool.clear()


def _error(exc: HTTPError, url: str) -> TrimodeClientError:
    if isinstance(exc, NewConnectionError | MaxRetryError):
        return UnavailableError(unreachable(url, "HTTP", exc))
    return broken(exc, url) if isinstance(exc, ProtocolError) else UnavailableError(f"{url} cannot be asked: {exc}")


def _pieces(answer: Any, patience: Patience) -> Generator[bytes, None, None]:
    """Yield bytes as they arrive, each within what patience is left."""
    while True:
        _set_timeout(answer, patience.wait())
        piece = answer.read1(PIECE)
        if not piece:
            return
        yield piece


def _set_timeout(answer: Any, seconds: float | None) -> None:
    sock = getattr(answer.connection, "sock", None)
    if sock is not None:
        sock.settimeout(seconds)

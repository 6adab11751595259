"""Shared by both HTTP transports: addresses, bodies, reading Triton's generate answers, and errors.

Opens no connection and waits for nothing.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from trimode.api.tensors import MODES
from trimode.errors import Described, shorten

from ..errors import AddressError, IncompleteError, TlsError, TrimodeClientError, server_error, unreachable
from .base import modes_of
from .sse import SseParser
from .tls import tls_words

HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
CONNECT_SECONDS = 10.0  # for a connection to open; a host that is up answers within milliseconds
POOL = httpx.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=15.0)  # expiry in seconds
_CUT = ("disconnected", "peer closed")  # what it calls an answer that did not come, or not to its end
_NOT_HTTP = ("illegal status line", "illegal request line")  # what httpx calls an answer that is not HTTP


class RedirectedError(httpx.HTTPError):
    """A server answered with another address: following it could hand credentials to a stranger."""

    def __init__(self, answer: httpx.Response) -> None:
        self.location = shorten(Described(answer.headers["Location"]))
        super().__init__(f"a redirect to {self.location}")


def refuse_redirect(answer: httpx.Response) -> None:
    """Refuse an answer that sends the client elsewhere.

    Raises:
        RedirectedError: it does.
    """
    if answer.has_redirect_location:
        raise RedirectedError(answer)


async def refuse_redirect_async(answer: httpx.Response) -> None:
    """Do the same for an asynchronous client."""
    refuse_redirect(answer)


HOOKS = {"response": [refuse_redirect]}
ASYNC_HOOKS = {"response": [refuse_redirect_async]}
"""What httpx calls for each answer, before anybody reads it."""


def endpoint(model: str, fields: Mapping[str, Any]) -> str:
    """Return the path for a request: a stream of events, or one answer."""
    return f"/v2/models/{model}/" + ("generate_stream" if fields["stream"] else "generate")


def health_paths(model: str) -> tuple[str, str, str]:
    """Return the paths that answer 200 when live, ready, and when the model is ready."""
    return "/v2/health/live", "/v2/health/ready", f"/v2/models/{model}/ready"


def config_path(model: str) -> str:
    """Return the path of the model's config."""
    return f"/v2/models/{model}/config"


def modes_in(answer: httpx.Response) -> tuple[str, ...]:
    """Return the modes that an answered config says; none if it is no config."""
    try:
        parameters = answer.json().get("parameters", {}) if answer.status_code == 200 else None
        return () if parameters is None else modes_of(parameters.get(MODES, {}).get("string_value"))
    except (ValueError, AttributeError):
        return ()


def body(fields: Mapping[str, Any]) -> bytes:
    """Return the JSON body of a request."""
    return json.dumps(fields, ensure_ascii=False).encode("utf-8")


def parse(text: str | bytes) -> dict[str, Any]:
    """Return the outputs of one JSON answer or event.

    Raises:
        ServerError, UnavailableError: it is an error.
        IncompleteError: it is not a JSON object.
    """
    try:
        outputs = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise IncompleteError(f"the server's answer is not JSON: {exc}") from exc
    if not isinstance(outputs, dict):
        raise IncompleteError(f"the server's answer is not a JSON object but {type(outputs).__name__}")
    if isinstance(error := outputs.get("error"), str):
        raise server_error(error)
    return {name: value for name, value in outputs.items() if name not in ("model_name", "model_version")}


def parse_events(parser: SseParser, piece: bytes) -> Iterator[dict[str, Any]]:
    """Yield the outputs of each event that `piece` completes; an empty piece is the stream's end."""
    for event in parser.feed(piece) if piece else parser.end():
        yield parse(event)


def http_failure(exc: Exception, url: str, *, begun: bool = False) -> TrimodeClientError:
    """Return the error for a request that httpx could not carry out; waits that ended are not among them."""
    if (refused := _tls_failure(exc)) is not None:
        return TlsError(f"{url} {tls_words(str(refused))}")
    if isinstance(exc, httpx.ConnectTimeout):
        return unreachable(url, "HTTP", f"no connection within {CONNECT_SECONDS:g} s")
    if isinstance(exc, RedirectedError):
        return AddressError(
            f"{url} redirects to {exc.location}, which is not followed; ask that address if you trust it"
        )
    if isinstance(exc, httpx.ConnectError):
        return unreachable(url, "HTTP", exc)
    if isinstance(exc, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return AddressError(f"{url} cannot be asked: {exc}")
    if any(sign in str(exc) for sign in _NOT_HTTP):
        hint = "it may be the gRPC port, or want TLS; usually HTTP is at PORT and gRPC at PORT+1"
        return AddressError(f"{url} does not speak HTTP: {hint}; or choose the protocol grpc")
    cause = str(exc) or type(exc).__name__
    cut = not isinstance(exc, httpx.RemoteProtocolError | httpx.DecodingError) or any(sign in cause for sign in _CUT)
    if not cut:
        return IncompleteError(f"the server's answer cannot be read: {cause}")
    hint = "; if it wants TLS, write https://" if url.startswith("http://") and not begun else ""
    return IncompleteError(f"the connection broke before the last response: {cause}{hint}", begun=begun)


def _tls_failure(exc: BaseException | None) -> ssl.SSLError | None:
    """Return the failure of TLS that `exc` came from, if it did; one of a connection that was cut is none."""
    while exc is not None:
        if isinstance(exc, ssl.SSLError):
            return None if isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError) else exc
        exc = exc.__cause__ or exc.__context__
    return None

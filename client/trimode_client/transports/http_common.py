"""What both HTTP transports share: addresses, bodies, and reading Triton's generate answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import IncompleteError, TrimodeClientError, UnavailableError, server_error

HEADERS = {"Content-Type": "application/json"}
PIECE = 65536  # most bytes of one read
_NO_HTTP = ("BadStatusLine", "Bad status line")  # of urllib3 and of aiohttp


def base(url: str) -> str:
    """Return the address with a scheme and no slash at its end."""
    return (url if "://" in url else f"http://{url}").rstrip("/")


def endpoint(model: str, fields: Mapping[str, Any]) -> str:
    """Return the path for a request: a stream of events, or one answer."""
    return f"/v2/models/{model}/" + ("generate_stream" if fields["stream"] else "generate")


def health_paths(model: str) -> tuple[str, str, str]:
    """Return the paths that answer 200 when live, ready, and when the model is ready."""
    return "/v2/health/live", "/v2/health/ready", f"/v2/models/{model}/ready"


def body(fields: Mapping[str, Any]) -> bytes:
    """Return the JSON body of a request."""
    return json.dumps(fields, ensure_ascii=False).encode("utf-8")


def broken(exc: Exception, url: str) -> TrimodeClientError:
    """Return the client's error for an answer that stopped, or that is none of HTTP's."""
    if any(sign in str(exc) for sign in _NO_HTTP):
        hint = "it may be the gRPC port, which is usually PORT+1 where HTTP's is PORT; or choose the protocol grpc"
        return UnavailableError(f"{url} does not speak HTTP: {hint}")
    return IncompleteError(f"the connection broke before the last response: {exc}")


def parse(text: str | bytes) -> dict[str, Any]:
    """Return the outputs of one JSON answer or event.

    Raises:
        ServerError: it is an error.
        IncompleteError: it is no JSON object.
    """
    try:
        outputs = json.loads(text)
    except ValueError as exc:
        raise IncompleteError(f"the server's answer is not JSON: {exc}") from exc
    if not isinstance(outputs, dict):
        raise IncompleteError(f"the server's answer is not a JSON object but {type(outputs).__name__}")
    if isinstance(error := outputs.get("error"), str):
        raise server_error(error)
    return {name: value for name, value in outputs.items() if name not in ("model_name", "model_version")}

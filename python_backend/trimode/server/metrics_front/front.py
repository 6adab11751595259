"""MetricsFront: answers at the port of metrics. Triton's own port for them is behind it, where no caller reaches it.

Triton 2.51 ends when somebody sends 4 MiB as a form to any of its ports. Knows nothing of what the metrics say.
"""

from __future__ import annotations

import logging

from aiohttp import web

from ...errors import UNFORESEEN, Described, LostError, Refusal, TrimodeError, shorten
from ..access.entry import EVERYBODY, Entry
from ..backend_client import BackendClient
from ..error_answer import error_response
from ..guard import path_of
from ..serving import ServingState, lost_error, not_serving, silent_error

logger = logging.getLogger(__name__)

PATH = "/metrics"
METHODS = ("GET", "HEAD", "OPTIONS")
READ_SECONDS = 10.0  # for Triton's metrics; it writes them at once
MOST_CONNECTIONS = 128
"""To the port of metrics. Each scraper keeps one; where one more comes, one that is idle makes room."""


async def read_metrics(metrics: BackendClient, state: ServingState) -> tuple[bytes, str]:
    """Return Triton's metrics and their content type.

    Args:
        metrics: a client of Triton's port of metrics.
        state: whether a backend serves, to say why there are none.

    Raises:
        TrimodeError: there are none to be had now; the text says why.
    """
    try:
        async with metrics.request("GET", PATH, silence=READ_SECONDS) as answer:
            return await answer.read(), answer.content_type
    except TrimodeError as exc:
        raise (lost_error(state) if isinstance(exc, LostError) else exc) from exc
    except TimeoutError as exc:
        raise silent_error() from exc
    except OSError as exc:
        raise not_serving(state) from exc


class MetricsFront:
    """An aiohttp handler in front of Triton's port of metrics."""

    def __init__(self, metrics: BackendClient, state: ServingState, entry: Entry = EVERYBODY) -> None:
        self._metrics = metrics
        self._entry = entry
        self._state = state

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; every error is JSON `{"error": "<error_type>: <message>"}`."""
        try:
            return await self._answer(request)
        except TrimodeError as exc:
            return error_response(exc.on_the_wire(), _allow(exc))
        except Exception:
            logger.exception("the metrics could not be read")
            return error_response(TrimodeError(UNFORESEEN).on_the_wire())

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path, shown = path_of(request), shorten(Described(path_of(request)))
        if path not in (PATH, "*"):
            raise Refusal("not_found", f"{shown} is not served here; this port has GET {PATH} alone")
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={"Allow": ", ".join(METHODS)})
        if request.method not in METHODS or path != PATH:
            raise Refusal("not_allowed", f"{shorten(Described(request.method))} {shown}; this port has GET {PATH}")
        self._entry.admit_request(request)
        content, content_type = await read_metrics(self._metrics, self._state)
        return web.Response(body=content, headers={"Content-Type": content_type})


def _allow(error: TrimodeError) -> dict[str, str]:
    return {"Allow": ", ".join(METHODS)} if error.error_type == "not_allowed" else {}

"""MetricsFront: answers at the port of metrics. Triton's own port for them is behind it, where no caller reaches it.

Triton 2.51 ends when somebody sends 4 MiB as a form to any of its ports. Knows nothing of what the metrics say.
"""

from __future__ import annotations

import logging

from aiohttp import web

from ...errors import UNFORESEEN, Described, Refusal, TrimodeError, shorten
from ..access.entry import EVERYBODY, Entry
from ..access.refusals import METRICS
from ..error_answer import error_response
from ..http_front.path import path_of
from .source import PATH, MetricsSource

logger = logging.getLogger(__name__)

METHODS = ("GET", "HEAD", "OPTIONS")
MOST_SCRAPERS = 128
"""To the port of metrics. Each scraper keeps one; where one more comes, one that is idle makes room."""


class MetricsFront:
    """An aiohttp handler in front of Triton's port of metrics."""

    def __init__(self, source: MetricsSource, entry: Entry = EVERYBODY) -> None:
        self._source = source
        self._entry = entry

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; every error is JSON `{"error": "<error_type>: <message>"}`."""
        try:
            return await self._answer(request)
        except TrimodeError as exc:
            self._entry.refusals.count(METRICS, exc.error_type)
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
        content, content_type = await self._source.read()
        return web.Response(body=content, headers={"Content-Type": content_type})


def _allow(error: TrimodeError) -> dict[str, str]:
    return {"Allow": ", ".join(METHODS)} if error.error_type == "not_allowed" else {}

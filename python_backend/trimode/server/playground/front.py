"""PlaygroundFront: answers for the paths of the page. Its files are everybody's; what they ask for is the API's.

Every address in the page is relative, so that it works under a prefix that a proxy takes away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from aiohttp import web

from ...errors import Described, Refusal, TrimodeError, shorten
from ..access.refusals import HTTP, Refusals
from ..error_answer import error_response
from .fields import fields_json
from .files import HEADERS, PageFile, page_files

ROOT = "/playground"
INDEX = "index.html"
FIELDS = "fields.json"
METHODS = "GET, HEAD, OPTIONS"
GZIP = re.compile(r"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[^,]*)?(?:,|$)", re.IGNORECASE)
"""An Accept-Encoding that takes gzip, with a weight other than 0."""


class PlaygroundFront:
    """The face itself; the guard hands it the requests for its paths."""

    paths = re.compile(rf"{ROOT}(/.*)?")
    counted = HTTP

    def __init__(self, refusals: Refusals, body_bytes: int) -> None:
        """Read the files, which are served from memory.

        Args:
            refusals: counts what is not answered.
            body_bytes: size of the largest body that the server takes.
        """
        self._refusals = refusals
        self._files: dict[str, PageFile] = {**page_files(), FIELDS: PageFile.of(fields_json(body_bytes), ".json")}

    async def answer(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Answer one request with a file."""
        if path == ROOT:
            query = request.rel_url.raw_query_string
            location = f"{ROOT[1:]}/?{query}" if query else f"{ROOT[1:]}/"
            return web.Response(status=308, headers={**HEADERS, "Location": location})
        page = self._files.get(path.removeprefix(f"{ROOT}/") or INDEX)
        if page is None:
            return self._refused(Refusal("not_found", f"{shorten(Described(path))} is no file of the playground"))
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={"Allow": METHODS})
        if request.method not in ("GET", "HEAD"):
            refused = Refusal("not_allowed", f"{request.method} {shorten(Described(path))}")
            return self._refused(refused, {"Allow": METHODS})
        packed = GZIP.search(request.headers.get("Accept-Encoding", "")) is not None
        etag = page.etag(packed=packed)
        if etag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers={**HEADERS, "ETag": etag})
        content = page.packed if packed else page.content
        return web.Response(body=content, headers=page.headers(packed=packed))

    def refusal(self, path: str, error: TrimodeError) -> web.Response:
        """Return the answer to an error."""
        return error_response(error.on_the_wire())

    def _refused(self, refusal: Refusal, headers: Mapping[str, str] | None = None) -> web.Response:
        self._refusals.count(HTTP, refusal.error_type)
        return error_response(refusal.on_the_wire(), headers)

"""path_of: the path of a request, however its letters and digits are written."""

from __future__ import annotations

import re
from urllib.parse import unquote

from aiohttp import web

ORIGIN = re.compile(r"https?://[^/?#]*", re.IGNORECASE)  # in front of the path, as proxies send it
UNRESERVED = re.compile(r"%(?:2[DdEe]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])")
"""Letters, digits and -._~ as percent codes: RFC 3986 says that they mean the same."""


def path_of(request: web.BaseRequest) -> str:
    """Return the path without a query, letters and digits plain: what is matched is what Triton gets."""
    path = request.raw_path
    if not path.startswith("/"):
        path = ORIGIN.sub("", path, count=1)
    path = path.partition("?")[0]
    return UNRESERVED.sub(lambda code: unquote(code[0]), path) if "%" in path else path

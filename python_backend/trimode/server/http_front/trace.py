"""The trace that a request over HTTP belongs to, by its headers: passed on to Triton, and named in the log.

Everything that is done for a request sees its trace, other tasks included that it starts. The format of traceparent is
that of W3C Trace Context, version 00.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar

from ...logs import request_id

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")  # characters; the recommendation has systems pass on so many
REQUEST_ID = "x-request-id"  # a caller's own id for its request, which answers and lines of the log carry
NAMED = ("x-correlation-id", "x-session-affinity", "traceparent")
"""Other headers that routers and load generators name a request by."""
ID_BYTES = 8  # random ones of an id of ours

_CURRENT: ContextVar[tuple[Mapping[str, str], str]] = ContextVar("trace", default=({}, ""))


def begin(headers: Mapping[str, str]) -> None:
    """Take the trace and the id of a request that begins, from its headers; what has another form counts as none."""
    own = headers.get(REQUEST_ID, "")
    given = request_id.NAME.fullmatch(own) is not None
    request_id.begin(own if given else secrets.token_hex(ID_BYTES), given=given)
    found: dict[str, str] = {}
    if TRACEPARENT.fullmatch(parent := headers.get("traceparent", "")):
        found["traceparent"] = parent
        if TRACESTATE.fullmatch(state := headers.get("tracestate", "")):
            found["tracestate"] = state
    names = ((name, headers.get(name, "")) for name in NAMED)
    _CURRENT.set((found, "".join(f" {name}={value}" for name, value in names if request_id.NAME.fullmatch(value))))


def follow(parent: str) -> None:
    """Let what works for the current request from now on be parts of the span that `parent`, a traceparent, names."""
    found, shown = _CURRENT.get()
    _CURRENT.set(({**found, "traceparent": parent}, shown))


def passed_on() -> Mapping[str, str]:
    """Return the headers that Triton gets, which makes its own spans parts of the same trace."""
    return _CURRENT.get()[0]


def named() -> str:
    """Return what else names the request in a line of the log, each name with a space in front; "" if nothing does."""
    return _CURRENT.get()[1]

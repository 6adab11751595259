"""The id of the request that is worked on: what is logged meanwhile carries it.

Tasks and threads that asyncio starts for a request see its id too. Other threads name it with `extra`, see `named`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

FIELD = "request_id"
"""The attribute of a record, and the key of a line in JSON, that holds the id."""

NAME = re.compile(r"[\x21-\x7e]{1,128}")
"""What an id of a caller's may be, so that it stays one word of one line; another one is not logged."""


@dataclass
class Current:
    """The request of a context. One object for all of its tasks and threads, so that each sees what another finds.

    Attributes:
        given: its caller chose the id.
    """

    id: str = ""
    given: bool = False


_CURRENT: ContextVar[Current | None] = ContextVar("request", default=None)


def begin(request_id: str, *, given: bool = False) -> None:
    """Let what is logged in this context from now on carry `request_id`, "" for none."""
    _CURRENT.set(Current(request_id, given))


@contextmanager
def working_for(request_id: str) -> Iterator[None]:
    """Let what is logged inside the block carry `request_id`."""
    token = _CURRENT.set(Current(request_id))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def suggest(request_id: str) -> None:
    """Take an id of the caller's that is found late, in every task of the request, unless it gave one before."""
    current = _CURRENT.get()
    if current is not None and not current.given and NAME.fullmatch(request_id):
        current.id, current.given = request_id, True


def plain(request_id: str) -> str:
    """Return an id of a caller's if it may be logged, else ""."""
    return request_id if NAME.fullmatch(request_id) else ""


def current_id() -> str:
    """Return the id of the current request, "" where there is none."""
    return "" if (current := _CURRENT.get()) is None else current.id


def named(*ids: str) -> dict[str, str]:
    """Return the `extra` of a line about these requests; those without an id are left out."""
    return {FIELD: ",".join(dict.fromkeys(filter(None, ids)))}


def stamp(record: logging.LogRecord) -> bool:
    """Give a record that names no request the current one; a filter of handlers, which keeps every record."""
    if not hasattr(record, FIELD):
        setattr(record, FIELD, current_id())
    return True

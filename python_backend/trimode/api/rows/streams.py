"""What a stream sends, and how often: its rows of the table, and how they go together. Knows nothing of clocks."""

from __future__ import annotations

from typing import Any

from ...errors import RequestError
from ..choice_fields import INT32_MAX
from ..field import Field

STREAM_FIELDS: tuple[Field, ...] = (
    Field(
        "stream_provisional",
        "bool",
        "false",
        "With stream: also send the block after each of its denoising passes; at once, or several together by "
        "stream_interval_ms.",
    ),
    Field(
        "stream_interval",
        "int",
        "1",
        "With stream: new tokens after which the next response is sent; 0 waits for stream_interval_ms alone. The "
        "first response and the last do not wait.",
        0,
        INT32_MAX,
    ),
    Field(
        "stream_interval_ms",
        "int",
        "0",
        "With stream: milliseconds since the last response after which new tokens are sent, however few they are; 0 "
        "for no such limit. Given without stream_interval, more than 0 counts alone. With stream_provisional, passes "
        "wait for it too, 64 at most.",
        0,
        INT32_MAX,
    ),
)
NAMES = ("stream_interval", "stream_interval_ms")
EVERY_TOKEN = (1, 0)
"""The values of the two that send each token when it is there."""


def conflict(tokens: int, milliseconds: int) -> tuple[str, str, int] | None:
    """Return the field that the two values leave without a meaning, the limit and the value; None if there is none."""
    if not tokens and not milliseconds:
        return "stream_interval", "must be at least 1, or stream_interval_ms must be", tokens
    if tokens == 1 and milliseconds:
        return "stream_interval_ms", "has no effect beside stream_interval 1, which sends every token", milliseconds
    return None


def resolve_intervals(values: dict[str, Any], server: tuple[int, int]) -> None:
    """Fill in how often the answer of a request to generate is sent.

    Args:
        values: checked fields by name.
        server: the two values of a request that gives neither.

    Raises:
        RequestError: the two have no meaning together, or there is no stream, or one of passes, whose tokens nobody
            counts.
    """
    watched = bool(values.get("stream_provisional"))
    server = EVERY_TOKEN if watched else server
    given = [name for name in NAMES if name in values]
    milliseconds = values.get("stream_interval_ms", 0)
    tokens = values.get("stream_interval", 0 if milliseconds else server[0] or 1)
    asked = (tokens, milliseconds) if given else server
    if given and asked != EVERY_TOKEN:
        if not values.get("stream"):
            raise _not_applicable(given[0], "needs stream", values[given[0]])
        if watched and tokens > 1:
            limit = "does not go together with stream_provisional, whose passes stream_interval_ms alone holds back"
            raise _not_applicable("stream_interval", limit, tokens)
        if problem := conflict(*asked):
            raise _not_applicable(*problem)
    values.update(zip(NAMES, asked, strict=True))


def _not_applicable(name: str, limit: str, given: object) -> RequestError:
    return RequestError(name, limit, given, error_type="not_applicable")

"""How often a stream sends: what a request may say, and what the server's own interval means for others."""

from __future__ import annotations

from typing import Any

import pytest
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.api.rows.streams import EVERY_TOKEN
from trimode.errors import RequestError

WATCHED: dict[str, Any] = {"mode": "diffusion", "stream_provisional": True}


def intervals(server: tuple[int, int] = EVERY_TOKEN, **given: Any) -> tuple[int, int]:
    defaults = Defaults(99, 8, 1, intervals=server)
    returns = GenerationParams.parse({"text_input": "a", "stream": True, **given}, defaults).returns
    return returns.stream_interval, returns.stream_interval_ms


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, EVERY_TOKEN),
        ({"stream_interval": 1}, (1, 0)),
        ({"stream_interval": 8}, (8, 0)),
        ({"stream_interval": 8, "stream_interval_ms": 50}, (8, 50)),
        ({"stream_interval": 0, "stream_interval_ms": 50}, (0, 50)),
        ({"stream_interval_ms": 50}, (0, 50)),
        ({"stream_interval_ms": 0}, (1, 0)),
        ({"stream": False}, (1, 0)),
        ({"stream": False, "stream_interval": 1, "stream_interval_ms": 0}, (1, 0)),
    ],
)
def test_milliseconds_alone_count_no_tokens(given: dict[str, Any], expected: tuple[int, int]) -> None:
    assert intervals(**given) == expected


def test_the_servers_own_hold_where_a_request_gives_neither() -> None:
    assert intervals((16, 200)) == (16, 200)
    assert intervals((16, 200), stream_interval=4) == (4, 0)
    assert intervals((16, 200), stream_interval_ms=40) == (0, 40)
    assert intervals((16, 200), stream_interval_ms=0) == (16, 0)


def test_of_a_stream_of_passes_milliseconds_alone_hold_any_back() -> None:
    assert intervals((16, 200), **WATCHED) == EVERY_TOKEN
    assert intervals((16, 200), **WATCHED, stream_interval_ms=0) == EVERY_TOKEN
    assert intervals((16, 200), **WATCHED, stream_interval_ms=33) == (0, 33)
    assert intervals(**WATCHED, stream_interval=0, stream_interval_ms=33) == (0, 33)
    assert intervals((16, 200), **WATCHED, stream_interval=1) == EVERY_TOKEN


@pytest.mark.parametrize(
    ("given", "field", "limit"),
    [
        ({"stream_interval": 0}, "stream_interval", "must be at least 1, or stream_interval_ms must be"),
        ({"stream_interval": 1, "stream_interval_ms": 5}, "stream_interval_ms", "has no effect beside"),
        ({"stream": False, "stream_interval": 8}, "stream_interval", "needs stream"),
        ({"stream": False, "stream_interval_ms": 8}, "stream_interval_ms", "needs stream"),
        ({**WATCHED, "stream_interval": 8}, "stream_interval", "alone holds back"),
        ({**WATCHED, "stream_interval": 8, "stream_interval_ms": 5}, "stream_interval", "alone holds back"),
        ({**WATCHED, "stream_interval": 1, "stream_interval_ms": 5}, "stream_interval_ms", "has no effect beside"),
        ({**WATCHED, "stream": False, "stream_interval_ms": 5}, "stream_provisional", "needs stream"),
        ({"suffix": "b", "stream_interval": 8}, "stream_interval", "does not apply to filling gaps"),
    ],
)
def test_what_has_no_meaning_is_refused(given: dict[str, Any], field: str, limit: str) -> None:
    with pytest.raises(RequestError, match=limit) as caught:
        intervals(**given)
    assert (caught.value.field, caught.value.error_type) == (field, "not_applicable")

"""What options take, up to their limits."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import pytest
from trimode.server.launch.option_types import (
    count,
    grace,
    mebibytes,
    port,
    seconds,
    total_mebibytes,
    url,
    whole_seconds,
)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        *((mebibytes, "0.5", 0.5), (mebibytes, "2047", 2047.0), (total_mebibytes, "9000", 9000.0)),
        *((count, "1", 1), (count, "70000", 70000)),
        *((port, "0", 0), (port, "65535", 65535)),
        *((seconds, "0.25", 0.25), (seconds, "86400", 86400.0), (whole_seconds, "1", 1)),
        *((grace, "0", 0.0), (grace, "1e1", 10.0)),
    ],
)
def test_what_is_in_the_range_is_taken(kind: Callable[[str], Any], text: str, value: float) -> None:
    assert kind(text) == value


@pytest.mark.parametrize("kind", [mebibytes, total_mebibytes, count, port, seconds, whole_seconds, grace])
@pytest.mark.parametrize("text", ["", "x", "nan", "-inf", "-1"])
def test_what_is_no_number_or_below_zero_never_is(kind: Callable[[str], Any], text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=f"must be .*, got {text}$"):
        kind(text)


@pytest.mark.parametrize("text", ["", "http://localhost:4318/v1/traces", "https://[::1]/v1/traces"])
def test_an_address_is_taken_as_it_is(text: str) -> None:
    assert url(text) == text


@pytest.mark.parametrize(
    "text", ["localhost:4318", "grpc://a:4317", "http://", "http://a:b", "http://a:70000", "http://["]
)
def test_what_is_no_address_of_http_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="must begin with http:// or https:// and a host, got"):
        url(text)

"""What the command line's options make of who may come in, and as whom."""

from __future__ import annotations

import asyncio

import pytest
from trimode.errors import Refusal
from trimode.server.access.entry import EVERYBODY, Entry
from trimode.server.launch.options import parser

ALICE = "alice-0123456789"


def entry(*options: str) -> Entry:
    return Entry.of(parser().parse_args(options))


def test_without_options_a_caller_is_its_address() -> None:
    assert entry().tls is None
    assert entry().admit(None, "anything", "127.0.0.1", ["192.0.2.1"]) == "127.0.0.1"
    assert EVERYBODY.admit(None, None, "::1") == "::1"


def test_behind_a_trusted_proxy_a_caller_is_whom_it_names() -> None:
    assert entry("--trusted-proxies", "127.0.0.1").admit(None, None, "127.0.0.1", ["192.0.2.1"]) == "192.0.2.1"


def test_with_keys_a_caller_is_its_key_wherever_it_comes_from() -> None:
    closed = entry("--api-key", f"alice {ALICE}")
    assert closed.admit(f"Bearer {ALICE}", None, "127.0.0.1") == closed.admit(None, ALICE, "::1") == "key alice"
    with pytest.raises(Refusal):
        closed.admit(None, None, "127.0.0.1")


def test_nothing_is_renewed_where_there_are_no_certificates() -> None:
    async def run() -> int:
        async with entry().renewing():
            return len(asyncio.all_tasks())

    assert asyncio.run(run()) == 1

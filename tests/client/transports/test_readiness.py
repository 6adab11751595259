"""Waiting until a server takes requests: why it ended, and that it ends. The clock is the test's."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Literal

import pytest
from trimode_client import AsyncClient, Client, UnavailableError
from trimode_client.transports.time_limits import POLL_SECONDS

from tests.support.fake_server import SERVERS, Script

Protocol = Literal["grpc", "http"]
PROTOCOLS = ("grpc", "http")


@pytest.mark.parametrize("module", ["client", "async_client"])
def test_waiting_for_readiness_says_why_it_ended(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still while the server is asked once, and then the time is over."""
    seconds = iter([0.0, 0.0, 60.0])
    monkeypatch.setattr(f"trimode_client.{module}.time", SimpleNamespace(monotonic=lambda: next(seconds)))

    async def wait(url: str) -> None:
        async with AsyncClient(url, "grpc") as client:
            await client.wait_until_ready(60)

    def wait_blocking(url: str) -> None:
        with Client(url, "grpc") as client:
            client.wait_until_ready(60)

    with SERVERS["grpc"](Script()) as url, pytest.raises(UnavailableError, match=f"after 60 s: the model at {url} is"):
        wait_blocking(url) if module == "client" else asyncio.run(wait(url))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_waiting_for_readiness_ends_with_its_limit(protocol: Protocol, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append)
    monkeypatch.setattr("trimode_client.client.time", clock)
    with Client("127.0.0.1:9", protocol) as client, pytest.raises(UnavailableError, match=r"not ready after 0\.2 s"):
        client.wait_until_ready(0.2)
    assert 0.2 <= sum(slept) < 0.2 + POLL_SECONDS

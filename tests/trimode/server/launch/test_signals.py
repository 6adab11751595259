"""What signals ask for, before there is a server and after."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest
from trimode.server.launch import signals as module
from trimode.server.launch.signals import Signals

SECONDS = 60


async def settled(true: Callable[[], bool]) -> None:
    """Wait until signals were taken: the loop hears of them a little later."""
    async with asyncio.timeout(SECONDS):
        while not true():
            await asyncio.sleep(0.001)


def asked_of(body: Callable[[Signals, list[str]], Awaitable[None]]) -> list[str]:
    """What a server is asked for by signals while `body` runs."""
    asked = list[str]()

    async def run() -> None:
        await body(Signals(), asked)

    asyncio.run(run())
    return asked


def hand(signals: Signals, asked: list[str]) -> None:
    signals.hand_to(lambda: asked.append("stop"), lambda: asked.append("renew"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_before_there_is_a_server_is_handed_to_it(number: int) -> None:
    async def body(signals: Signals, asked: list[str]) -> None:
        os.kill(os.getpid(), number)
        await settled(signals.stopping.is_set)
        assert asked == []
        hand(signals, asked)

    assert asked_of(body) == ["stop"]


def test_each_signal_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_terminal", lambda: False)

    async def body(signals: Signals, asked: list[str]) -> None:
        hand(signals, asked)
        for number, count in ((signal.SIGHUP, 1), (signal.SIGTERM, 2), (signal.SIGINT, 3)):
            os.kill(os.getpid(), number)
            await settled(lambda count=count: len(asked) == count)  # type: ignore[misc]
        assert signals.stopping.is_set()

    assert asked_of(body) == ["renew", "stop", "stop"]


def test_a_new_bundle_that_was_asked_for_before_there_is_a_server_is_read_once_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "has_terminal", lambda: False)

    async def body(signals: Signals, asked: list[str]) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)  # the loop takes them in turn
        await settled(signals.stopping.is_set)
        hand(signals, asked)

    assert asked_of(body) == ["renew", "stop"]


def test_a_terminal_that_is_closed_asks_for_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [True]
    monkeypatch.setattr(module, "has_terminal", lambda: there[0])

    async def body(signals: Signals, asked: list[str]) -> None:
        hand(signals, asked)
        os.kill(os.getpid(), signal.SIGHUP)
        await settled(lambda: asked == ["renew"])
        there[0] = False
        os.kill(os.getpid(), signal.SIGHUP)
        await settled(signals.stopping.is_set)

    assert asked_of(body) == ["renew", "stop"]

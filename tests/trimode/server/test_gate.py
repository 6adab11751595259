"""What waits while the backend is replaced in order."""

from __future__ import annotations

import asyncio

from trimode.server.gate import Gate

SECONDS = 60.0


def test_an_open_gate_is_passed_at_once() -> None:
    assert asyncio.run(asyncio.wait_for(Gate().passed(0.0), SECONDS))


def test_what_waits_goes_on_when_it_opens_and_is_said_once() -> None:
    heard: list[str] = []

    async def run() -> None:
        gate = Gate()
        gate.on_open = lambda: heard.append("open")
        gate.open()
        gate.close()
        waiting = asyncio.create_task(gate.passed(SECONDS))
        await asyncio.sleep(0)
        assert gate.closed and not waiting.done()
        gate.open()
        assert await asyncio.wait_for(waiting, SECONDS)
        assert not gate.closed

    asyncio.run(run())
    assert heard == ["open"]


def test_nobody_waits_for_longer_than_allowed() -> None:
    async def run() -> None:
        gate = Gate()
        gate.close()
        assert not await asyncio.wait_for(gate.passed(0.01), SECONDS)

    asyncio.run(run())


def test_a_gate_that_is_closed_again_at_once_lets_nobody_through() -> None:
    async def run() -> None:
        gate = Gate()
        gate.close()
        waiting = asyncio.create_task(gate.passed(SECONDS))
        await asyncio.sleep(0)
        gate.open()
        gate.close()
        await asyncio.sleep(0)
        assert not waiting.done()
        gate.open()
        assert await asyncio.wait_for(waiting, SECONDS)

    asyncio.run(run())

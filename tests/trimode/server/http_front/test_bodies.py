"""How much the bodies that are being read may hold together, and whose makes room."""

from __future__ import annotations

import asyncio

import pytest
from trimode.errors import Refusal
from trimode.server.http_front.bodies import Bodies, Body
from trimode.server.serving import Limits

from tests.trimode.server.http_front.scene import Caller, Scene, play, post

FULL = "overloaded: the bodies that are being read may hold 100 bytes together"
MADE_ROOM = "overloaded: the body made room for another caller's: too much was being read at once"


def body(bodies: Bodies, caller: str, size: int) -> Body:
    made = bodies.begin(caller)
    bodies.grow(made, size)
    return made


def test_all_that_fits_is_taken_and_what_has_ended_counts_no_more() -> None:
    bodies = Bodies(100)
    first = body(bodies, "a", 60)
    second = body(bodies, "b", 40)
    with pytest.raises(Refusal, match=FULL.partition(": ")[2]):
        body(bodies, "c", 1)
    for one in (first, first, second):
        bodies.end(one)
    body(bodies, "c", 100)


def test_a_body_that_does_not_arrive_any_more_makes_no_room() -> None:
    bodies = Bodies(100)
    body(bodies, "a", 100)
    with pytest.raises(Refusal, match="may hold 100 bytes together"):
        body(bodies, "b", 1)


def scene_of(most: int = 100) -> Limits:
    return Limits(body_bytes=90, bodies=Bodies(most))


async def begun(scene: Scene, address: str, size: int) -> Caller:
    """A caller whose body arrived but for its last byte."""
    caller = await scene.call(address)
    before = scene.limits.bodies._total
    caller.send(post(bytes(size), length=size + 1))
    await scene.until(lambda: scene.limits.bodies._total == before + size)
    return caller


async def finished(caller: Caller) -> tuple[int, object]:
    caller.send(b"x")
    answer = await caller.answer()
    await caller.leave()
    return answer


def test_a_caller_that_is_beyond_the_limit_by_itself_is_refused_and_may_try_again() -> None:
    async def act(scene: Scene) -> None:
        first = await begun(scene, "127.0.0.1", 60)
        assert await scene.ask(post(bytes(41))) == (503, {"error": FULL})
        assert await scene.ask(post(bytes(40))) == (200, {"length": 40})
        assert await finished(first) == (200, {"length": 61})
        assert await scene.ask(post(bytes(90))) == (200, {"length": 90})
        assert scene.limits.bodies._total == 0

    play(act, limits=scene_of())


def test_the_largest_body_of_the_caller_with_the_most_makes_room_for_another_caller() -> None:
    async def act(scene: Scene) -> None:
        small = await begun(scene, "127.0.0.1", 20)
        large = await begun(scene, "127.0.0.1", 50)
        other = await begun(scene, "127.0.0.3", 25)
        assert await scene.ask(post(bytes(30)), address="127.0.0.2") == (200, {"length": 30})
        assert await large.answer() == (503, {"error": MADE_ROOM})
        assert await finished(small) == (200, {"length": 21})
        assert await finished(other) == (200, {"length": 26})
        await large.leave()
        assert scene.limits.bodies._total == 0

    play(act, limits=scene_of())


def test_nobody_makes_room_for_a_caller_that_would_hold_as_much() -> None:
    async def act(scene: Scene) -> None:
        ones = [await begun(scene, address, 30) for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3")]
        assert await scene.ask(post(bytes(30)), address="127.0.0.4") == (503, {"error": FULL})
        assert [await finished(one) for one in ones] == 3 * [(200, {"length": 31})]

    play(act, limits=scene_of())


def test_callers_who_leave_give_back_what_they_held() -> None:
    async def act(scene: Scene) -> None:
        for caller in [await begun(scene, "127.0.0.1", 45) for _ in range(2)]:
            await caller.leave()
        await scene.until(lambda: scene.limits.bodies._total == 0)

    play(act, limits=scene_of())


def test_a_refused_body_says_when_to_come_again() -> None:
    async def act(scene: Scene) -> None:
        first = await begun(scene, "127.0.0.1", 80)
        async with asyncio.timeout(20), await scene.call() as caller:
            caller.send(post(bytes(50)))
            assert b"\r\nRetry-After: 1\r\n" in await caller.reader.readuntil(b"\r\n\r\n")
        await first.leave()

    play(act, limits=scene_of())

"""Which request a line is of."""

from __future__ import annotations

import asyncio
import logging

import pytest
from trimode.logs.request_id import begin, current_id, named, plain, stamp, suggest, working_for


def test_tasks_and_threads_of_a_request_see_its_id_and_no_other() -> None:
    async def request(name: str) -> str:
        begin(name)
        await asyncio.sleep(0)
        return await asyncio.create_task(asyncio.to_thread(current_id))

    async def run() -> list[str]:
        return [*await asyncio.gather(request("a"), request("b"))]

    assert asyncio.run(run()) == ["a", "b"]


def test_an_id_that_is_found_late_is_seen_by_the_task_that_began() -> None:
    async def run() -> str:
        begin("ours")
        await asyncio.to_thread(suggest, "theirs")
        return current_id()

    assert asyncio.run(run()) == "theirs"


@pytest.mark.parametrize("late", ["", "two words", "line\nbreak", "x" * 129, "é"])
def test_an_id_that_is_no_word_is_not_taken(late: str) -> None:
    with working_for("ours"):
        suggest(late)
        assert current_id() == "ours"


def test_an_id_that_the_caller_gave_stays() -> None:
    with working_for(""):
        begin("first", given=True)
        suggest("second")
        assert current_id() == "first"


def test_after_the_block_it_is_as_before() -> None:
    with working_for("a"):
        with working_for("b"):
            assert current_id() == "b"
        assert current_id() == "a"


def test_a_record_names_its_own_request_before_the_current_one() -> None:
    plain, own = (logging.LogRecord("n", logging.INFO, "", 0, "m", None, None) for _ in range(2))
    vars(own).update(named("b", "", "c", "b"))
    with working_for("a"):
        assert stamp(plain) and stamp(own)
    assert (vars(plain)["request_id"], vars(own)["request_id"]) == ("a", "b,c")


@pytest.mark.parametrize("given", ["", "two words", "a\nb", "é", "x" * 129])
def test_an_id_that_would_not_stay_one_word_is_none(given: str) -> None:
    assert (plain(given), plain("a-1")) == ("", "a-1")

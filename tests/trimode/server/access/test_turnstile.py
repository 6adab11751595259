"""Who is let in by its rates: requests of a minute, and requests at once."""

from __future__ import annotations

import pytest
from trimode.errors import RateLimitedError, seconds_to_wait
from trimode.server.access.rates import UNLIMITED, Rates
from trimode.server.access.turnstile import Turnstile


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def refused(turnstile: Turnstile, caller: str = "a") -> str:
    with pytest.raises(RateLimitedError) as caught:
        turnstile.enter(caller)
    return str(caught.value)


def test_without_limits_everybody_is_let_in_and_nothing_is_kept() -> None:
    turnstile = Turnstile()
    visits = [turnstile.enter("a") for _ in range(1000)]
    assert {visit.token_rate for visit in visits} == {None}
    assert turnstile._counts == {}


def test_in_no_minute_are_there_more_requests_than_the_limit() -> None:
    clock = Clock()
    turnstile = Turnstile(lambda _: Rates(requests_per_minute=2), clock=clock)
    turnstile.enter("a").leave()
    clock.now += 30
    turnstile.enter("a").leave()
    assert refused(turnstile) == "requests_per_minute must be at most 2, got 3; again in 30 s"
    clock.now += 29.5
    assert seconds_to_wait(refused(turnstile)) == 1  # a refused request does not count, and a wait is whole seconds
    clock.now += 0.5
    turnstile.enter("a").leave()
    assert seconds_to_wait(refused(turnstile)) == 30


def test_callers_count_for_themselves() -> None:
    turnstile = Turnstile(lambda caller: Rates(requests_per_minute=1) if caller == "a" else UNLIMITED, clock=Clock())
    turnstile.enter("a")
    turnstile.enter("b")
    turnstile.enter("b")
    refused(turnstile)


def test_a_request_that_ends_makes_room_for_another_at_once() -> None:
    turnstile = Turnstile(lambda _: Rates(concurrent_requests=2), clock=Clock())
    first, second = turnstile.enter("a"), turnstile.enter("a")
    assert refused(turnstile) == "concurrent_requests must be at most 2, got 3; again in 1 s"
    first.leave()
    first.leave()  # the second time it is gone
    with turnstile.enter("a"):
        refused(turnstile)
    second.leave()
    with turnstile.enter("a"), turnstile.enter("a"):
        refused(turnstile)


def test_a_limit_that_is_set_while_requests_run_counts_from_then_on() -> None:
    rates = [UNLIMITED]
    turnstile = Turnstile(lambda _: rates[0], clock=Clock())
    before = turnstile.enter("a")
    rates[0] = Rates(concurrent_requests=1)
    with turnstile.enter("a"):
        before.leave()
        refused(turnstile)


def test_the_rate_of_tokens_goes_with_the_visit() -> None:
    turnstile = Turnstile(lambda _: Rates(tokens_per_minute=500), clock=Clock())
    visit = turnstile.enter("a")
    assert (visit.caller, visit.token_rate) == ("a", 500)
    assert Turnstile(lambda _: Rates(tokens_per_minute=500), instances=2).enter("a").token_rate == 250
    assert Turnstile(lambda _: Rates(tokens_per_minute=1), instances=2).enter("a").token_rate == 1


def test_callers_of_whom_nothing_counts_any_more_are_forgotten() -> None:
    clock = Clock()
    turnstile = Turnstile(lambda _: Rates(requests_per_minute=5, concurrent_requests=5), clock=clock)
    kept = turnstile.enter("kept")
    for number in range(100):
        turnstile.enter(f"{number}").leave()
    clock.now += 61
    turnstile.enter("last").leave()
    assert set(turnstile._counts) == {"kept", "last"}
    kept.leave()

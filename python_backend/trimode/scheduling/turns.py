"""Turns: whose waiting job gets the next slot, and who makes room when the queue is full.

Slots go to callers in turn, so that one caller's many requests do not keep the others waiting. Knows jobs, and what
else waits, by their claims and arrival; nothing of time, threads or decoding.

Why nobody waits for ever: a caller's place among those with as few slots is the moment when it was last served, or when
its oldest waiting job arrived if that is later. Callers that come or come back after that moment stand behind it, and
each caller before it moves behind it once it is served.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Protocol, TypeVar

from .job import Claim


class Waiting(Protocol):
    """What waits for its turn; job.Job says what its attributes are."""

    arrival: int
    begun: bool

    @property
    def claim(self) -> Claim:
        """Whose it is, and how urgent."""
        ...

    @property
    def request(self) -> int:
        """A number that what belongs to one request has in common."""
        ...


W = TypeVar("W", bound=Waiting)


class Turns:
    """The order of admission. Not thread-safe: the queue's lock guards it."""

    def __init__(self) -> None:
        self._moments = 0  # counts arrivals and admissions: the only clock
        self._served: dict[Hashable, int] = {}  # of callers with waiting jobs, and of their users: when last served

    def arrived(self, jobs: Iterable[Waiting], *, begun: bool) -> None:
        """Give new jobs their places in the order of arrival."""
        for job in jobs:
            job.arrival, job.begun = self._moment(), begun

    def next(self, waiting: Sequence[W], running: Sequence[W]) -> W | None:
        """Return the waiting job that gets the next slot, None if there is none.

        It is of the caller that holds the fewest slots; of its jobs of the lowest priority; of the user that holds the
        fewest slots; of the request that holds the fewest. Between equals, callers and users take turns, and requests
        come in the order of arrival.
        """
        left = self._first(waiting, running, _caller)
        lowest = min((job.claim.priority for job in left), default=0)
        left = self._first([job for job in left if job.claim.priority == lowest], running, _user)
        slots = Counter(job.request for job in running)
        return min(left, key=lambda job: (slots[job.request], job.arrival), default=None)

    def served(self, job: Waiting, waiting: Sequence[Waiting]) -> None:
        """Record that `job` got a slot; `waiting` are those that still wait."""
        for one in waiting:
            one.begun |= one.request == job.request
        moment = self._moment()
        self._served |= {_caller(job): moment, _user(job): moment}
        known = {key(one) for one in waiting for key in (_caller, _user)}
        self._served = {party: at for party, at in self._served.items() if party in known}

    def _first(self, waiting: Sequence[W], running: Sequence[W], party: Callable[[Waiting], Hashable]) -> list[W]:
        """Return the jobs of the party, a caller or a user, whose turn it is."""
        slots = Counter(party(job) for job in running)
        since: dict[Hashable, int] = {}
        for job in waiting:
            since[party(job)] = min(job.arrival, since.get(party(job), job.arrival))
        turn = min(since, key=lambda one: (slots[one], max(since[one], self._served.get(one, 0))), default=None)
        return [job for job in waiting if party(job) == turn]

    def _moment(self) -> int:
        self._moments += 1
        return self._moments


def makes_room(newcomer: W, waiting: Sequence[W], running: Sequence[W]) -> list[W]:
    """Return the jobs of the waiting request that gives its place in a full queue to `newcomer`; empty if none does.

    The caller with the most waiting requests gives its last one to a caller that has at least two fewer, and within
    one caller so does a user. So the numbers only ever become more equal, and two callers cannot displace each other in
    turn. A request that ran before, such as one that fills several gaps, never gives its place.
    """
    begun = {job.request for job in (*running, *(one for one in waiting if one.begun))}
    requests = {job.request: job for job in waiting}.values()
    of_callers, of_users = Counter(map(_caller, requests)), Counter(map(_user, requests))
    giving = []
    if newcomer.claim.caller:  # the server's own canary has none, and nobody makes room for it
        giving = [job for job in waiting if of_callers[_caller(job)] > of_callers[_caller(newcomer)] + 1]
    if not giving:
        own = [job for job in waiting if _caller(job) == _caller(newcomer)]
        giving = [job for job in own if of_users[_user(job)] > of_users[_user(newcomer)] + 1]

    def last(job: Waiting) -> tuple[int, int, int, int]:
        return of_callers[_caller(job)], job.claim.priority, of_users[_user(job)], job.arrival

    chosen = max((job for job in giving if job.request not in begun), key=last, default=None)
    return [job for job in waiting if chosen and job.request == chosen.request]


def _caller(job: Waiting) -> Hashable:
    return job.claim.caller


def _user(job: Waiting) -> Hashable:
    return job.claim.caller, job.claim.user

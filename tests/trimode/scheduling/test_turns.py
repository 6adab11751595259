"""Whose turn it is: callers, their priorities, their users, their requests; and who makes room in a full queue."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.decoding.sequence import SequenceState
from trimode.scheduling.job import Claim, Job
from trimode.scheduling.turns import Turns, makes_room
from trimode.text.answer_text import AnswerText

PARAMS = GenerationParams.parse({"input_ids": [3], "seed": 1}, Defaults(10, 8, 0))


def job(caller: str = "", user: str = "", priority: int = 0, owner: object = None) -> Job:
    text = AnswerText(None, (), at_once=True)
    claim = Claim(caller, user, priority)
    return Job(SequenceState(PARAMS, [3], 1), text, lambda chunk: None, owner=owner, claim=claim)


class Line:
    """Jobs that wait and run, as the queue keeps them."""

    def __init__(self, *arrived: Job) -> None:
        self.turns, self.running = Turns(), list[Job]()
        self.waiting: list[Job] = []
        self.arrive(*arrived)

    def arrive(self, *jobs: Job) -> None:
        self.turns.arrived(jobs, begun=False)
        self.waiting += jobs

    def admit(self, count: int = 1) -> list[Job]:
        """Fill `count` slots; returns who got them."""
        admitted = []
        for _ in range(count):
            chosen = self.turns.next(self.waiting, self.running)
            assert chosen is not None
            self.waiting.remove(chosen)
            self.running.append(chosen)
            self.turns.served(chosen, self.waiting)
            admitted.append(chosen)
        return admitted

    def callers(self, count: int) -> str:
        return "".join(one.claim.caller for one in self.admit(count))


def test_nobody_waits_nobody_is_next() -> None:
    assert Turns().next([], []) is None


def test_requests_of_one_caller_come_in_their_order() -> None:
    jobs = [job("a") for _ in range(3)]
    assert Line(*jobs).admit(3) == jobs


def test_the_caller_that_holds_the_fewest_slots_is_next() -> None:
    line = Line(*(job("a") for _ in range(4)))
    line.admit(2)
    line.arrive(job("b"), job("b"), job("b"))
    assert line.callers(4) == "bbab"  # 1, then 2 of b; a came first and takes its third; b


def test_of_equal_callers_the_one_that_was_served_longest_ago_is_next() -> None:
    line = Line(*(job(caller) for caller in "aabbcc"))
    served = ""
    for _ in range(6):
        served += line.callers(1)
        line.running.clear()  # whoever got the slot is done at once
    assert served == "abcabc"


def test_a_caller_that_comes_back_stands_behind_one_that_waits() -> None:
    line = Line(job("a"), job("b"), job("b"))
    served = ""
    for _ in range(4):
        served += line.callers(1)
        line.running.clear()
        line.arrive(job("a"))  # always a new short one
    assert served == "abab"


def test_the_lowest_priority_is_next_within_a_caller_and_no_further() -> None:
    late, soon, other = job("a", priority=3), job("a", priority=-1), job("b", priority=9)
    assert Line(late, soon, other).admit(3) == [soon, other, late]


def test_users_of_one_caller_take_turns_and_count_as_one_caller() -> None:
    line = Line(*(job("a", "u") for _ in range(3)), *(job("a", "v") for _ in range(3)), job("b"), job("b"))
    assert [(one.claim.caller, one.claim.user) for one in line.admit(8)] == [
        ("a", "u"),
        ("b", ""),
        ("a", "v"),
        ("b", ""),
        *[("a", "u"), ("a", "v")] * 2,
    ]


def test_a_user_of_the_same_name_is_another_one_for_another_caller() -> None:
    line = Line(job("a", "u"), job("a", "v"), job("b", "u"))
    assert [one.claim.user for one in line.admit(3)] == ["u", "u", "v"]


def test_a_request_of_many_jobs_takes_turns_with_others_of_its_caller() -> None:
    many = object()
    line = Line(*(job("a", owner=many) for _ in range(3)), other := job("a"))
    assert line.admit(2)[1] is other


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=60), st.integers(1, 8))
def test_no_caller_holds_two_slots_more_than_one_that_waits(arrivals: list[tuple[int, int]], slots: int) -> None:
    """Whatever comes: with everybody there from the start, shares differ by one at most while somebody waits."""
    line = Line(*(job(str(caller), priority=priority) for caller, priority in arrivals))
    held = Counter(one.claim.caller for one in line.admit(min(slots, len(arrivals))))
    for one in line.waiting:
        assert max(held.values()) <= held[one.claim.caller] + 1


def test_64_callers_of_whom_one_is_greedy_are_all_served_before_its_next_request() -> None:
    """A toy server of 16 slots: each step every running request gets a token."""
    greedy = [job("greedy") for _ in range(60)]
    line, needs = Line(*greedy), dict[Job, int]()
    for one in line.admit(16):
        needs[one] = 100
    others = [job(f"caller {number}") for number in range(63)]
    line.arrive(*others)
    ended: list[Job] = []
    while line.waiting or line.running:
        for one in list(line.running):
            needs[one] -= 1
            if not needs[one]:
                line.running.remove(one)
                ended.append(one)
        while line.waiting and len(line.running) < 16:
            (one,) = line.admit()
            needs[one] = 100 if one in greedy else 2
    assert len(ended) == 123
    assert max(map(ended.index, others)) < min(ended.index(one) for one in greedy[16:])


def test_a_caller_with_one_request_waits_for_at_most_one_of_each_other() -> None:
    """One slot and callers that always have more: between two turns of one, every other has one."""
    callers = [f"{number}" for number in range(8)]
    line = Line(*(job(caller) for caller in callers for _ in range(2)))
    served = []
    for _ in range(50 * len(callers)):
        (one,) = line.admit()
        line.running.clear()
        served.append(one.claim.caller)
        line.arrive(job(one.claim.caller))
    assert served == callers * 50


def waiting(*claims: tuple[str, str, int]) -> list[Job]:
    jobs = [job(*claim) for claim in claims]
    Turns().arrived(jobs, begun=False)
    return jobs


def test_the_greediest_caller_gives_its_last_request_to_one_that_has_two_fewer() -> None:
    jobs = waiting(("a", "", 0), ("a", "", 0), ("b", "", 0), ("a", "", 0))
    assert makes_room(job("c"), jobs, []) == [jobs[3]]
    assert makes_room(job("b"), jobs, []) == [jobs[3]]
    assert makes_room(job("a"), jobs, []) == []


def test_a_caller_with_one_fewer_is_refused_so_that_two_do_not_displace_each_other_in_turn() -> None:
    jobs = waiting(("a", "", 0), ("a", "", 0), ("b", "", 0))
    assert makes_room(job("b"), jobs, []) == []
    assert makes_room(job("c"), jobs, []) == [jobs[1]]


def test_the_least_urgent_request_makes_room() -> None:
    jobs = waiting(("a", "", 5), ("a", "", 0), ("a", "", 0))
    assert makes_room(job("b"), jobs, []) == [jobs[0]]


def test_the_user_with_the_most_waiting_makes_room() -> None:
    jobs = waiting(("a", "u", 0), ("a", "u", 0), ("a", "v", 0))
    assert makes_room(job("b"), jobs, []) == [jobs[1]]
    assert makes_room(job("a", "w"), jobs, []) == [jobs[1]]
    assert makes_room(job("a", "v"), jobs, []) == []
    assert makes_room(job("a", "u"), jobs, []) == []


def test_nobody_makes_room_for_a_canary() -> None:
    assert makes_room(job(""), waiting(*[("a", "", 0)] * 3), []) == []


def test_a_request_of_many_jobs_goes_as_a_whole_and_counts_once() -> None:
    many = object()
    jobs = [job("a"), job("a", owner=many), job("a", owner=many), job("b")]
    Turns().arrived(jobs, begun=False)
    assert makes_room(job("c"), jobs, []) == jobs[1:3]
    assert makes_room(job("b"), jobs, []) == []


@pytest.mark.parametrize("how", ["runs", "had begun"])
def test_a_request_that_had_a_slot_keeps_its_place(how: str) -> None:
    many = object()
    jobs = [job("a"), job("a", owner=many)]
    turns = Turns()
    turns.arrived(jobs[:1], begun=False)
    turns.arrived(jobs[1:], begun=how == "had begun")
    running = [job("a", owner=many)] if how == "runs" else []
    assert makes_room(job("b"), jobs, running) == jobs[:1]


def test_a_request_has_begun_once_one_of_its_jobs_got_a_slot() -> None:
    many = object()
    line = Line(job("a", owner=many), job("a", owner=many), job("a"))
    line.admit()
    line.running.clear()
    assert [one.begun for one in line.waiting] == [True, False]


@given(st.lists(st.sampled_from("aaaaabcd"), max_size=80))
def test_a_full_queue_only_ever_becomes_more_equal(callers: list[str]) -> None:
    full: list[Job] = []
    turns = Turns()
    for caller in callers:
        newcomer: Any = job(caller)
        before = Counter(one.claim.caller for one in full)
        if len(full) >= 8:
            gone = makes_room(newcomer, full, [])
            if not gone:
                assert before[caller] >= max(before.values()) - 1
                continue
            full = [one for one in full if one not in gone]
        turns.arrived([newcomer], begun=False)
        full.append(newcomer)
        after = Counter(one.claim.caller for one in full)
        if len(full) == 8 == sum(before.values()):
            assert sum(n * n for n in after.values()) < sum(n * n for n in before.values())

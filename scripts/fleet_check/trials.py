"""What is tried with a fleet, each as a function that returns counts: no time, which a busy machine would falsify."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from ..fleet.fleet import Fleet
from ..fleet.replica import Replica
from ..fleet.waiting import wait
from .asking import SECONDS, Answer, Load, Stream, ask, chat, metric, scraped, shares

MODES = ("autoregressive", "diffusion", "self_speculation")
CACHE = ("trimode_prefix_cache_hits_total", "trimode_prefix_cache_queries_total", "trimode_request_seconds_count")
CALLERS = 6
BRAKE_SECONDS = 0.05
SHORTER = {"max_tokens": 150, "min_tokens": 150}
OVERLOADED = 'outcome="overloaded"'
LONG: dict[str, Any] = {"stream": True, "max_tokens": 900, "min_tokens": 900, "mode": "autoregressive"}
"""A stream that still runs when something happens to its server."""


def affinity(fleet: Fleet, model: str, prefixes: int, turns: int) -> dict[str, float]:
    """Return the hit rate of the prefix caches at the one address, and that of asking the servers in turns.

    Each of `prefixes` texts begins `turns` requests. Their number should be no multiple of the servers', or turns
    would be affinity. `failed` counts the requests of both that were not answered.
    """

    def totals() -> list[float]:
        return [sum(metric(one, name) for one in fleet.replicas) for name in CACHE]

    def rate(name: str, ports: Iterator[int]) -> float:
        hits, queries, answers = totals()
        texts = [f"{name} {number}: " + f"the sailor of ship {number} sings. " * 30 for number in range(prefixes)]
        came = [ask(next(ports), chat(model, text, f"What is {turn} + 1?")) for turn in range(turns) for text in texts]
        failed.extend(answer for answer in came if not answer.whole)
        counted = answers + sum(answer.whole for answer in came)
        wait(lambda: totals()[2] >= counted, SECONDS, lambda: f"{totals()[2]} answers of {counted} are counted")
        now = totals()
        return (now[0] - hits) / (now[1] - queries)

    failed: list[Answer] = []
    ours = rate("By affinity", itertools.repeat(fleet.port))
    theirs = rate("In turns", itertools.cycle([one.http for one in fleet.replicas]))
    return {"prefixes": prefixes, "turns": turns, "affinity": ours, "in_turns": theirs, "failed": len(failed)}


def replaced(fleet: Fleet, model: str, requests: int) -> dict[str, Any]:
    """Replace every server, one after the other, under a load of at least `requests`; return what failed.

    `by` counts the answers of each server.
    """
    before = {one.name: one.process.pid for one in fleet.replicas if one.process}
    with Load(fleet, model, CALLERS) as load:
        between = requests // (len(fleet.replicas) + 1)
        load.goes_on(between)
        for _ in fleet.replace_all():
            load.goes_on(between)
        load.goes_on(max(requests - len(load.answers), 0))
    renewed = [one.name for one in fleet.replicas if one.process and one.process.pid != before[one.name]]
    failed = load.failed()
    return {
        "requests": len(load.answers),
        "failed": len(failed),
        "errors": sorted({f"{answer.status} {answer.text[-200:]}" for answer in failed}),
        "by": shares(load.answers, fleet.replicas),
        "renewed": len(renewed),
        "callers": CALLERS,
    }


def killed(fleet: Fleet, model: str) -> dict[str, Any]:
    """Kill the server with most streams that run (SIGKILL), and ask on; then start it again.

    `of_the_victim` counts its streams that still ran at the kill: each of them must end with an error.
    """
    streams = [Stream(fleet.port, chat(model, f"Caller {number}.", **LONG)) for number in range(CALLERS)]
    for stream in streams:
        if not stream.begun.wait(SECONDS):
            raise TimeoutError("a stream did not begin")

    def running(replica: Replica) -> list[Stream]:
        return [stream for stream in streams if stream.answer is None and stream.on(replica)]

    victim = max(fleet.replicas, key=lambda one: len(running(one)))
    if victim.process is None:
        raise RuntimeError(f"{victim.name} does not run")
    cut = running(victim)
    victim.process.kill()
    victim.process.wait()
    after = [ask(fleet.port, chat(model, f"New {number}.")) for number in range(2 * CALLERS)]
    wait(lambda: not fleet.router.sends_to(victim), SECONDS, lambda: f"{fleet.router.title} still sends to it")
    theirs = [stream for stream in streams if not stream.on(victim)]
    found = {
        "streams": CALLERS,
        "of_the_victim": len(cut),
        "cut": sum(not stream.ended().whole for stream in cut),
        "others": len(theirs),
        "others_whole": sum(stream.ended().whole for stream in theirs),
        "asked_after": len(after),
        "answered_after": sum(answer.whole for answer in after),
        "errors_after": sorted({answer.text[-200:] for answer in after if not answer.whole}),
    }
    fleet.replace(victim)
    with Load(fleet, model, CALLERS) as load:
        load.goes_on(4 * CALLERS)
    return {**found, "failed_when_joined": len(load.failed())}


def modes(fleet: Fleet, model: str) -> dict[str, Any]:
    """Ask for each mode by the field and by the model's name; return the status, and which modes were counted."""
    by_field = {mode: ask(fleet.port, chat(model, "Hello.", mode=mode)).status for mode in MODES}
    by_name = {mode: ask(fleet.port, chat(f"{model}:{mode}", "Hello.")).status for mode in MODES}

    def counted() -> set[str]:
        lines = [line for one in fleet.replicas for line in scraped(one) if line.startswith("trimode_requests_total{")]
        return {line.split('mode="')[1].split('"')[0] for line in lines} & set(MODES)

    asked = {mode for mode in MODES if 200 in (by_field[mode], by_name[mode])}
    wait(lambda: asked <= counted(), SECONDS, lambda: f"{counted()} are counted")  # published a moment later
    return {"by_field": by_field, "by_name": by_name, "counted": sorted(counted())}


def slow(fleet: Fleet, model: str, requests: int) -> dict[str, Any]:
    """Let one server stand still for half of the time, under a load of `requests`; return who answered."""
    victim = fleet.replicas[0]
    with Load(fleet, model, CALLERS) as load:
        with slowed(victim) as ended:
            load.goes_on(requests)
        slowly = list(load.answers)
    by = shares(slowly, fleet.replicas)
    return {"requests": len(load.answers), "failed": len(load.failed()), "by": by, "given_up": len(ended)}


def overloaded(fleet: Fleet, model: str, burst: int) -> dict[str, Any]:
    """Send `burst` requests at once, more than the servers have slots and places in their queues; return their ends."""

    def refusals() -> float:
        lines = [line for one in fleet.replicas for line in scraped(one) if OVERLOADED in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("trimode_requests_total{"))

    before = refusals()
    streams = [Stream(fleet.port, chat(model, f"{number} of a burst.", **LONG | SHORTER)) for number in range(burst)]
    answers = [stream.ended() for stream in streams]
    refused = sum(answer.refused for answer in answers)
    wait(lambda: refusals() >= before + refused, SECONDS, lambda: f"{refusals()} refusals are counted")
    answered = sum(answer.whole for answer in answers)
    return {
        "burst": burst,
        "answered": answered,
        "refused": refused,
        "lost": burst - answered - refused,
        "refusals_of_servers": round(refusals() - before),
        "answered_after": ask(fleet.port, chat(model, "After the burst.")).status,
    }


@contextmanager
def slowed(replica: Replica) -> Iterator[list[psutil.Process]]:
    """Let the processes of a server that compute stand still for half of the time.

    They are tritonserver and its stub. Helpers have limits on their time: the server would end one that stands still.
    Gives a list of those that ended meanwhile: the server replaces a backend that takes too long.
    """
    if replica.process is None:
        raise RuntimeError(f"{replica.name} does not run")
    below = psutil.Process(replica.process.pid).children(recursive=True)
    stubs = [one for one in below if one.name().startswith("triton")]
    if not stubs:
        raise RuntimeError(f"{replica.name} has no processes that compute")
    done = threading.Event()
    ended: list[psutil.Process] = []

    def each(change: Callable[[psutil.Process], None]) -> None:
        for one in stubs:
            try:
                change(one)
            except psutil.NoSuchProcess:
                ended.append(one)
        stubs[:] = [one for one in stubs if one not in ended]

    def brake() -> None:
        while not done.is_set():
            each(psutil.Process.suspend)
            done.wait(BRAKE_SECONDS)
            each(psutil.Process.resume)
            done.wait(BRAKE_SECONDS)

    braking = threading.Thread(target=brake)
    braking.start()
    try:
        yield ended
    finally:
        done.set()
        braking.join()

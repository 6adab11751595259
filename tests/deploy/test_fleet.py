"""Three real servers behind HAProxy, on loopback: affinity, a replacement of all under load, one that is killed."""

from __future__ import annotations

import http.client
import itertools
import json
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.fleet import Fleet, Replica
from tests.deploy.served import SERVING
from tests.server.server import wait_until
from tests.support.layout import ROOT

REPLICAS = 3
CALLERS = 6
SECONDS = 300.0  # for an answer, or for what HAProxy should notice: machines are busy
PREFIXES, TURNS = 5, 4  # texts that requests begin with, not in step with the servers, and how many have each
PATH = "/v1/chat/completions"


@pytest.fixture(scope="module")
def haproxy() -> Path:
    done = subprocess.run([ROOT / "scripts" / "fetch-haproxy"], capture_output=True, text=True, timeout=2 * SECONDS)
    if done.returncode:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a path that is short enough for a socket in it."""
    made = Path(tempfile.mkdtemp(prefix="fleet-", dir="/tmp"))
    try:
        yield made
    finally:
        shutil.rmtree(made)


@pytest.fixture(scope="module")
def fleet(bundle: Path, haproxy: Path, folder: Path) -> Iterator[Fleet]:
    with Fleet(bundle, REPLICAS, folder, haproxy, python=str(SERVING)) as made:
        yield made


def chat(system: str, question: str = "What is 2 + 2?", **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return {"messages": messages, "model": "nano", "max_tokens": 8, **more}


def ask(port: int, body: dict[str, Any]) -> tuple[int, str]:
    """The status and the whole text of an answer; 0 where it was cut off."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("POST", PATH, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (http.client.HTTPException, OSError) as exc:
        return 0, repr(exc)
    finally:
        connection.close()


def scraped(replica: Replica) -> list[str]:
    connection = http.client.HTTPConnection("127.0.0.1", replica.metrics, timeout=60)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()


def metric(replica: Replica, name: str) -> float:
    """A metric of a server, summed over its labels."""
    found = [line for line in scraped(replica) if line.split("{")[0].split(" ")[0] == name]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)


def hit_rate(fleet: Fleet, name: str, ports: Iterator[int]) -> float:
    """The share of prompts' tokens that were in a prefix cache, of requests that come in turns of all prefixes."""
    names = ("trimode_prefix_cache_hits_total", "trimode_prefix_cache_queries_total", "trimode_request_seconds_count")

    def totals() -> list[float]:
        return [sum(metric(one, name) for one in fleet.replicas) for name in names]

    hits, queries, answers = totals()
    texts = [f"{name} {number}: " + f"the sailor of ship {number} sings. " * 30 for number in range(PREFIXES)]
    for turn in range(TURNS):
        for text in texts:
            assert ask(next(ports), chat(text, f"What is {turn} + 1?"))[0] == 200
    wait_until(lambda: totals()[2] >= answers + PREFIXES * TURNS, lambda: f"{totals()} are counted", SECONDS)
    now = totals()
    return (now[0] - hits) / (now[1] - queries)


def test_affinity_doubles_the_hit_rate_of_turns(fleet: Fleet) -> None:
    ours = hit_rate(fleet, "By affinity", itertools.repeat(fleet.port))
    theirs = hit_rate(fleet, "In turns", itertools.cycle([one.http for one in fleet.replicas]))
    assert ours >= 2 * theirs > 0, (ours, theirs)


class Load:
    """Callers who ask one request after the other until they are stopped."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.answers: list[tuple[int, str]] = []
        self._stopped = threading.Event()
        self._callers = [threading.Thread(target=self._call, args=(number,)) for number in range(CALLERS)]
        for caller in self._callers:
            caller.start()

    def _call(self, number: int) -> None:
        turn = 0
        while not self._stopped.is_set():
            turn += 1
            self.answers.append(ask(self.fleet.port, chat(f"You are caller {number}.", f"What is {turn} + {number}?")))

    def failed(self) -> list[tuple[int, str]]:
        """Stop; what was answered with anything but an answer."""
        self._stopped.set()
        for caller in self._callers:
            caller.join(SECONDS)
        return [answer for answer in self.answers if answer[0] != 200]

    def goes_on(self, more: int) -> None:
        before = len(self.answers)
        wait_until(lambda: len(self.answers) >= before + more, lambda: f"{len(self.answers)} answers", SECONDS)


def test_a_rolling_replacement_fails_no_request(fleet: Fleet) -> None:
    before = [one.process.pid for one in fleet.replicas if one.process]

    def counts() -> list[float]:
        return [metric(one, "trimode_requests_total") for one in fleet.replicas]

    load = Load(fleet)
    try:
        for replica in fleet.replicas:
            load.goes_on(2 * CALLERS)
            fleet.replace(replica)
        wait_until(lambda: min(counts()) > 0, lambda: f"{counts()} requests", SECONDS)
    finally:
        failed = load.failed()
    assert failed == []
    assert not set(before) & {one.process.pid for one in fleet.replicas if one.process}


def test_a_killed_server_ends_its_own_streams_alone(fleet: Fleet) -> None:
    streams: dict[str, list[tuple[int, str]]] = {}
    body: dict[str, Any] = {"stream": True, "max_tokens": 900, "min_tokens": 900, "mode": "autoregressive"}

    def stream(key: str) -> None:
        streams.setdefault(key, []).append(ask(fleet.port, chat(f"Caller {key}.", **body)))

    running = [threading.Thread(target=stream, args=(str(number),)) for number in range(CALLERS)]
    for one in running:
        one.start()

    def counts() -> list[float]:
        return [metric(one, "trimode_requests_running") for one in fleet.replicas]

    wait_until(lambda: sum(counts()) == CALLERS, lambda: f"{counts()} run", SECONDS)
    here = counts()
    victim = max(range(REPLICAS), key=here.__getitem__)
    process = fleet.replicas[victim].process
    assert process is not None
    process.kill()
    process.wait(30)
    wait_until(lambda: fleet.status(fleet.replicas[victim]) == "DOWN", lambda: "HAProxy sees it up", SECONDS)
    assert [ask(fleet.port, chat(f"New {number}."))[0] for number in range(CALLERS)] == [200] * CALLERS
    for one in running:
        one.join(SECONDS)
    ends = ["[DONE]" in text for found in streams.values() for _, text in found]
    assert (len(ends), ends.count(False)) == (CALLERS, here[victim])
    fleet.start(fleet.replicas[victim])
    fleet.wait_ready(fleet.replicas[victim])
    wait_until(lambda: fleet.status(fleet.replicas[victim]) == "UP", lambda: "HAProxy sees it down", SECONDS)


def test_one_address_has_every_mode_by_name_and_by_field(fleet: Fleet) -> None:
    for mode in ("autoregressive", "diffusion", "self_speculation"):
        for body in (chat("Hello.", model=f"nano:{mode}"), chat("Hello.", mode=mode)):
            status, text = ask(fleet.port, body)
            assert status == 200, text

    def counted() -> set[str]:
        lines = [line for one in fleet.replicas for line in scraped(one) if line.startswith("trimode_requests_total{")]
        return {line.split('mode="')[1].split('"')[0] for line in lines}

    modes = {"autoregressive", "diffusion", "self_speculation"}
    wait_until(lambda: modes <= counted(), lambda: f"{counted()} are counted", SECONDS)  # published a moment later

"""Requests to a fleet's one address, and the metrics of its servers. Knows a router by its header of the server."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trimode.server.ports import LOOPBACK

from ..fleet.fleet import Fleet
from ..fleet.replica import Replica
from ..fleet.waiting import wait

PATH = "/v1/chat/completions"
SECONDS = 300.0  # for an answer, or for what a router should notice: machines are busy
SERVED_BY = ("x-served-by", "x-smg-routed-worker-id")  # a server's name from HAProxy, its URL from smg
EVENT = "data:"
TURNS = 4  # requests of a caller that begin alike: a server that joins gets those that begin otherwise
TOKENS = 8  # of an answer that is only to come


@dataclass
class Answer:
    """What came: status 0 where no whole answer did, with what is known in `text`; `server` names who answered."""

    status: int = 0
    text: str = ""
    server: str = ""

    @property
    def whole(self) -> bool:
        """Whether nothing is missing: a stream has its end, and no error before it."""
        ended = not self.text.startswith(EVENT) or self.text.rstrip().endswith(f"{EVENT} [DONE]")
        return self.status == 200 and ended and f'{EVENT} {{"error"' not in self.text

    @property
    def refused(self) -> bool:
        """Whether it was refused for an overload."""
        return self.status in (429, 503)

    def by(self, replica: Replica) -> bool:
        """Whether this server answered."""
        return self.server in (replica.name, replica.url)


def chat(model: str, system: str, question: str = "What is 2 + 2?", **more: Any) -> dict[str, Any]:
    """Return the body of a request."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return {"model": model, "messages": messages, "max_tokens": TOKENS, **more}


def ask(port: int, body: dict[str, Any], begun: Callable[[Answer], None] = lambda _: None) -> Answer:
    """Return an answer; `begun` gets it as soon as its first bytes are there."""
    connection, answer = http.client.HTTPConnection(LOOPBACK, port, timeout=SECONDS), Answer()
    status = 0
    try:
        connection.request("POST", PATH, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        status = response.status
        answer.server = next(filter(None, map(response.getheader, SERVED_BY)), "")
        while piece := response.readline():
            answer.text += piece.decode()
            begun(answer)
        answer.status = status
    except (http.client.HTTPException, OSError) as exc:
        answer.text += repr(exc)
    finally:
        connection.close()
    return answer


class Stream:
    """One request on a thread of its own."""

    def __init__(self, port: int, body: dict[str, Any]) -> None:
        """Send it."""
        self.answer: Answer | None = None
        self.server = ""
        self.begun, self._body, self._port = threading.Event(), body, port
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        def begun(answer: Answer) -> None:
            self.server = answer.server
            self.begun.set()

        self.answer = ask(self._port, self._body, begun)

    def on(self, replica: Replica) -> bool:
        """Whether this server answers it."""
        return self.server in (replica.name, replica.url)

    def ended(self) -> Answer:
        """Wait for its end, and return what came."""
        self._thread.join(SECONDS)
        if self.answer is None:
            raise TimeoutError(f"a stream did not end in {SECONDS:.0f} s")
        return self.answer


def metric(replica: Replica, name: str) -> float:
    """Return a metric of a server, summed over its labels."""
    found = [line for line in scraped(replica) if line.split("{")[0].split(" ")[0] == name]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)


def scraped(replica: Replica) -> list[str]:
    """Return the lines of a server's metrics."""
    connection = http.client.HTTPConnection(LOOPBACK, replica.metrics, timeout=SECONDS)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()


class Load:
    """Callers who ask one request after the other until they are stopped; a context."""

    def __init__(self, fleet: Fleet, model: str, callers: int) -> None:
        """Begin."""
        self.answers: list[Answer] = []
        self._port, self._model = fleet.port, model
        self._stopped = threading.Event()
        self._callers = [threading.Thread(target=self._call, args=(number,)) for number in range(callers)]

    def __enter__(self) -> Load:
        for caller in self._callers:
            caller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for caller in self._callers:
            caller.join(SECONDS)

    def _call(self, number: int) -> None:
        turn = 0
        while not self._stopped.is_set():
            turn += 1
            body = chat(self._model, f"{number}-{turn // TURNS}: the caller.", f"What is {turn} + {number}?")
            self.answers.append(ask(self._port, body))

    def goes_on(self, more: int) -> None:
        """Wait for so many answers more, SECONDS for each of them.

        Raises:
            FleetError: one of them does not come.
        """
        before = len(self.answers)
        for number in range(before, before + more):
            self._comes(number)

    def _comes(self, number: int) -> None:
        """Wait until more answers than `number` are there."""
        wait(lambda: len(self.answers) > number, SECONDS, lambda: f"{len(self.answers)} answers came, and no more")

    def failed(self) -> list[Answer]:
        """Return what was not a whole answer."""
        return [answer for answer in self.answers if not answer.whole]


def shares(answers: Sequence[Answer], replicas: Sequence[Replica]) -> dict[str, int]:
    """Return how many answers each server gave."""
    return {one.name: sum(answer.by(one) for answer in answers) for one in replicas}

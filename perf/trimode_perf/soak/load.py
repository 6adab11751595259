"""Twelve callers at once, and what came of their requests. Each answer is held to the one that came to it alone.

Knows no server; callers.py does.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from trimode_client.local_server import Addresses

from ..common.progress import MeasureError
from ..common.until_stopped import UntilStopped
from .callers import STREAMED, WAYS, Caller, Heard, ways_of
from .requests import REFUSED, Request

CALLERS = 12
LEAVES, READS_SLOWLY, IS_WRONG = 0.08, 0.04, 0.04
"""Shares of the requests whose caller leaves after the first piece, reads slowly, or asks what nobody can answer."""
MOST_SHOWN = 20
Right = Mapping[int, Heard]


@dataclass
class Tally:
    """What came: counts by kind of request and by way; `wrong` and `lost` say what was not as it should be."""

    answered: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    left: int = 0
    slow: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def ask_alone(at: Addresses, model: str, requests: Sequence[Request], step: Callable[[], None]) -> dict[int, Heard]:
    """Return the answer to each request, asked one after the other over HTTP; `step` is called after each.

    Raises:
        MeasureError: one was refused or failed.
    """
    caller, found = Caller(at, model), {}
    for number, request in enumerate(requests):
        for _ in caller.ask(WAYS["HTTP"], request):
            pass
        if caller.heard.error:
            raise MeasureError(f"{request.kind}: {caller.heard.error} for {str(request.fields)[:200]}")
        found[number] = caller.heard
        step()
    caller.close()
    return found


class Load(UntilStopped):
    """Callers that ask until they are stopped; the block is left when the last has its answer."""

    def __init__(self, at: Addresses, model: str, requests: Sequence[Request], right: Right) -> None:
        self.tally = Tally()
        self._at, self._model, self._requests, self._right = at, model, requests, right
        self._lock = threading.Lock()
        super().__init__(self._call, range(CALLERS))

    def _call(self, seed: int) -> None:
        draw, caller = random.Random(seed), Caller(self._at, self._model)
        while not self.over.is_set():
            number = draw.randrange(len(self._requests))
            try:
                if draw.random() < IS_WRONG:
                    self._ask_wrongly(draw, caller)
                else:
                    self._ask(draw, caller, number)
            except Exception as exc:  # whatever it is, the answer did not come
                self._note(self.tally.lost, f"{self._requests[number].kind}: {type(exc).__name__} {exc}")
                time.sleep(1)
        caller.close()

    def _ask(self, draw: random.Random, caller: Caller, number: int) -> None:
        request, right = self._requests[number], self._right[number]
        way, chance = draw.choice(ways_of(request)), draw.random()
        leaves, slow = way in STREAMED and chance < LEAVES, LEAVES <= chance < LEAVES + READS_SLOWLY
        pieces = caller.ask(WAYS[way], request, slow=slow)
        for text in pieces:
            if leaves and text:
                break
        else:
            leaves = False
        pieces.close()  # type: ignore[attr-defined]  # a generator
        heard = caller.heard
        with self._lock:
            whole = not leaves and not heard.error
            self.tally.answered[request.kind] += whole
            self.tally.ways[way] += whole
            self.tally.left += leaves
            self.tally.slow += slow
        if heard.error:
            self._note(self.tally.lost, f"{request.kind}, {way}: {heard.error}")
        elif leaves and not right.text.startswith(heard.text):
            self._note(self.tally.wrong, f"{request.kind}, {way}: {heard.text[:80]!r} before its caller left")
        elif not leaves and (heard.text, heard.finish) != (right.text, right.finish):
            self._note(self.tally.wrong, f"{request.kind}, {way}, {request.fields}: {heard} in place of {right}"[:1000])

    def _ask_wrongly(self, draw: random.Random, caller: Caller) -> None:
        fields, error = draw.choice(REFUSED)
        way = draw.choice(["HTTP", "HTTP events", "gRPC"])
        for _ in caller.ask(WAYS[way], Request("a refusal", fields)):
            pass
        with self._lock:
            self.tally.refused += 1
        if caller.heard.error != error:
            self._note(self.tally.wrong, f"{way}, {fields}: {caller.heard} in place of {error}")

    def _note(self, notes: list[str], text: str) -> None:
        with self._lock:
            notes.append(text if len(notes) < MOST_SHOWN else "")

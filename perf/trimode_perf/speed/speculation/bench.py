"""Auto against every fixed choice on recorded answers, one and several at once: no model, no noise, no clock.

Of each domain the first prompts are answered in mode auto before anything counts, as a server meets its users'
questions; the others count. A fixed choice makes the same passes on every device, so one replay of it serves them all.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from trimode.api.answer import Chunk
from trimode.config import ServerConfig
from trimode.engines.base import Row, RowResult
from trimode.runtime import Runtime

from .recording import Recorded, Recording
from .replay import Fixed, ReplayEngine, Seconds

FIXED: dict[str, dict[str, Any]] = {
    "autoregressive": {"mode": "autoregressive"},
    **{f"linear {length}": {"mode": "self_speculation", "block_length": length} for length in (4, 8, 16, 32)},
    **{
        f"quadratic {length}": {"mode": "self_speculation", "speculation": "quadratic", "block_length": length}
        for length in (4, 8, 16, 32)
    },
}
"""What a request can fix, each with the same text."""
AUTO: dict[str, Any] = {"mode": "auto"}
LOADS = (1, 2, 4, 8, 16)
"""Requests at once."""
MET = 10
"""Prompts of a domain that auto has met before those that count."""
WAIT = 600.0
"""Seconds after which a replay that does not end is given up."""
Sizes = Counter[int]
"""How many passes had so many tokens; see ReplayEngine."""


def halves(recording: Recording, met: int = MET) -> tuple[list[Recorded], list[Recorded]]:
    """Return the first `met` answers of each domain, and the others, both one from each domain in turn."""
    seen: Counter[str] = Counter()
    first: list[Recorded] = []
    rest: list[Recorded] = []
    for answer in recording.answers:
        (first if seen[answer.domain] < met else rest).append(answer)
        seen[answer.domain] += 1
    return first, rest


class GatedEngine(ReplayEngine):
    """Waits at its gate, so that all requests are queued before the first of them runs.

    Attributes:
        full: of the passes, those while all slots were taken. full_tokens: tokens that these gave.
    """

    def __init__(self, recording: Recording, seconds: Seconds, at_once: int) -> None:
        super().__init__(recording, seconds)
        self.gate, self.entered = threading.Event(), threading.Event()
        self.full: Sizes = Counter()
        self.full_tokens = 0
        self._at_once = at_once
        self._reached: dict[int, int] = {}  # by slot, tokens of the prompt and the answer before its last pass

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        """As a replay's engine, once the gate is open."""
        self.entered.set()
        assert self.gate.wait(WAIT), "the gate was not opened"
        before = self.sizes.copy()
        results = super().run(rows)
        for row in rows:
            if not self._reads(row):
                self._reach(row.slot, row.start)
        if self._all_taken:
            self.full.update(self.sizes)
            self.full.subtract(before)
        return results

    def free(self, slot: int) -> None:
        """As a replay's engine; what its last pass gave counts too."""
        if (answer := self._of.get(slot)) is not None and slot in self._reached:
            self._reach(slot, len(answer.prompt) + len(answer.tokens))
        self._reached.pop(slot, None)
        super().free(slot)

    @property
    def _all_taken(self) -> bool:
        return len(self._slots) == self._at_once

    def _reach(self, slot: int, tokens: int) -> None:
        if self._all_taken:
            self.full_tokens += tokens - self._reached.get(slot, tokens)
        self._reached[slot] = tokens


class Bench:
    """A runtime over recorded answers on one device, which answers so many at once in the order in which they come."""

    def __init__(self, recording: Recording, seconds: Seconds, at_once: int) -> None:
        self.engine = GatedEngine(recording, seconds, at_once)
        config = ServerConfig(prefix_cache_mib=0, max_slots=at_once, max_queue=len(recording.answers) + 1)
        self.runtime = Runtime(self.engine, None, config, curve=Fixed.of(seconds))

    def close(self) -> None:
        """End the runtime."""
        self.engine.gate.set()
        self.runtime.close()

    def answer(self, answers: Sequence[Recorded], fields: dict[str, Any]) -> Sizes:
        """Answer all, and return the passes that it took.

        A request of one token holds the loop while they are queued: what runs together does not depend on threads.
        """
        engine, done = self.engine, threading.Semaphore(0)
        before = engine.sizes.copy()

        def sink(chunk: Chunk) -> None:
            assert chunk.error is None, chunk.error
            if chunk.last:
                done.release()

        engine.gate.clear()
        engine.entered.clear()
        self.runtime.submit({"input_ids": [0], "mode": "autoregressive", "max_tokens": 1}, sink)
        assert engine.entered.wait(WAIT), "the first request did not begin"
        for answer in answers:
            asked = {"input_ids": list(answer.prompt), "max_tokens": len(answer.tokens), "end_id": -1, **fields}
            self.runtime.submit(asked, sink)
        engine.gate.set()
        for _ in range(len(answers) + 1):
            assert done.acquire(timeout=WAIT), "an answer did not end"
        self._rest()
        found = engine.sizes.copy()
        found.subtract(before)
        return Counter({size: count for size, count in found.items() if count})

    def _rest(self) -> None:
        """Wait until the last request is done with: the loop learns from it after its answer has gone."""
        self.runtime.generate({"input_ids": [0], "mode": "autoregressive", "max_tokens": 1})


@dataclass(frozen=True)
class Found:
    """Seconds of the answers that count, by choice; "auto" is one of them.

    Attributes:
        loads: by device and requests at once. domains: by device and domain, one request at a time.
        full: as loads, but seconds a token while as many were answered as may be: without the end, when few are left.
    """

    loads: dict[str, dict[int, dict[str, float]]]
    full: dict[str, dict[int, dict[str, float]]]
    domains: dict[str, dict[str, dict[str, float]]]


def run(
    recording: Recording,
    devices: dict[str, Seconds],
    progress: Callable[[float], None] = lambda share: None,
    *,
    loads: Sequence[int] = LOADS,
    fixed: dict[str, Any] = FIXED,
    met_first: int = MET,
) -> Found:
    """Replay every fixed choice at every load, and auto on every device too.

    Args:
        progress: takes the share of the loads that is done.
        met_first: answers of a domain that auto meets before those that count.
    """
    met, counted = halves(recording, met_first)
    by_load: dict[str, dict[int, dict[str, float]]] = {device: {} for device in devices}
    by_full: dict[str, dict[int, dict[str, float]]] = {device: {} for device in devices}
    domains: dict[str, dict[str, dict[str, float]]] = {device: defaultdict(dict) for device in devices}
    some = next(iter(devices.values()))
    for load in loads:
        passes = {name: _fixed(recording, some, counted, fields, load) for name, fields in fixed.items()}
        for device, seconds in devices.items():
            auto = _auto(recording, seconds, met, counted, load)
            every = {**passes, "auto": auto}
            by_load[device][load] = {name: took(_sum(one.parts), seconds) for name, one in every.items()}
            by_full[device][load] = {name: took(one.full, seconds) / one.full_tokens for name, one in every.items()}
            for name, one in every.items() if load == 1 else ():
                for domain, sizes in one.parts.items():
                    domains[device][domain][name] = took(sizes, seconds)
        progress((loads.index(load) + 1) / len(loads))
    return Found(by_load, by_full, {device: dict(found) for device, found in domains.items()})


def took(sizes: Sizes, seconds: Seconds) -> float:
    """Return what passes take on a device."""
    return sum(count * seconds(size) for size, count in sorted(sizes.items()))


def _sum(parts: dict[str, Sizes]) -> Sizes:
    total: Sizes = Counter()
    for sizes in parts.values():
        total.update(sizes)
    return total


@dataclass(frozen=True)
class _Passes:
    """The passes that answers took, by domain where one is asked at a time, and those with all slots taken."""

    parts: dict[str, Sizes]
    full: Sizes
    full_tokens: int


def _fixed(
    recording: Recording, seconds: Seconds, counted: Sequence[Recorded], fields: dict[str, Any], load: int
) -> _Passes:
    bench = Bench(recording, seconds, load)
    try:
        return _passes(bench, counted, fields, load)
    finally:
        bench.close()


def _auto(
    recording: Recording, seconds: Seconds, met: Sequence[Recorded], counted: Sequence[Recorded], load: int
) -> _Passes:
    bench = Bench(recording, seconds, load)
    try:
        bench.answer(met, AUTO)
        return _passes(bench, counted, AUTO, load)
    finally:
        bench.close()


def _passes(bench: Bench, answers: Sequence[Recorded], fields: dict[str, Any], load: int) -> _Passes:
    """Return the passes by domain where one request runs at a time, and under one name where several share them."""
    bench.engine.full.clear()
    bench.engine.full_tokens = 0
    if load > 1:
        parts = {"": bench.answer(answers, fields)}
        return _Passes(parts, bench.engine.full, bench.engine.full_tokens)
    found: defaultdict[str, Sizes] = defaultdict(Counter)
    for answer in answers:
        found[answer.domain].update(bench.answer([answer], fields))
    return _Passes(dict(found), bench.engine.full, bench.engine.full_tokens)

"""`python -m trimode_perf fuzz-guides`: random schemas, expressions and grammars, in every mode.

Many at once in one runtime, drawn at temperature 1, for gaps too, streamed and not. A complete answer is held to
jsonschema, re, or what else knows its form. What cannot be enforced is asked for too. Ctrl-C ends it early: what runs
is waited for, and all that was asked counts. Writes perf/results/fuzz_guides.json, from which
`python -m scripts.render_reliability` makes a part of perf/RELIABILITY.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from trimode.bundle.manifest import Manifest
from trimode.config import ServerConfig
from trimode.errors import RequestError, TrimodeError
from trimode.grammar.source import Source
from trimode.runtime import Runtime

from ..common import BUNDLE, PERF
from ..common.claims import Claim, conclusion
from ..common.progress import progress, run
from ..common.results import about, commit, describe, rounded, save
from .guided_request import COMPLETE, COMPLEX, CUT, WAYS, Asked, asking
from .guides import any_guide
from .unsupported import unsupported

RESULTS = "results/fuzz_guides.json"
UNSUPPORTED_EVERY = 40
"""Of so many guides one cannot be enforced."""
AT_ONCE = 64
"""Requests that run together, in all ways: each is the others' neighbour."""
WAIT = 600.0
"""Seconds after which an answer counts as lost, on a machine that does much else."""
MOST_REFUSED, MOST_TOO_COMPLEX, LEAST_COMPLETE = 0.03, 0.01, 0.9
MOST_SHOWN = 40
"""Faults that the record quotes; all count."""
Found = Mapping[str, Any]


class Tally:
    """What became of all requests so far."""

    def __init__(self) -> None:
        self.asked, self.streamed, self.count = 0, 0, 0
        self.outcomes = {way: Counter[str]() for way in WAYS}
        self.short_of_room, self.kinds, self.reasons = Counter[str](), Counter[str](), Counter[str]()
        self.refused = self.unsupported = 0
        self.faults = list[str]()

    def fault(self, text: str) -> None:
        """Count a fault, and print it: whoever stops the run shall know it."""
        print(text, file=sys.stderr, flush=True)
        self.count += 1
        if self.count <= MOST_SHOWN:
            self.faults.append(text)

    def note(self, asked: Asked) -> None:
        """Count an answer."""
        word = asked.outcome()
        if word.startswith("fault"):
            self.fault(word)
        (self.outcomes[asked.way] if asked.fits else self.short_of_room)[word.partition(":")[0]] += 1

    def found(self) -> dict[str, Any]:
        """Return all of it for the record."""
        return {
            **{"asked": self.asked, "streamed": self.streamed, "kinds": dict(self.kinds)},
            "outcomes": {way: dict(words) for way, words in self.outcomes.items()},
            "short_of_room": dict(self.short_of_room),
            **{"unsupported": self.unsupported, "refused": self.refused, "reasons": dict(self.reasons.most_common())},
            **{"faults": self.faults, "faults_not_shown": self.count - len(self.faults)},
        }


def measure(
    runtime: Runtime, count: int, seed: int, passed: Callable[[int, Tally], bool] = lambda number, tally: True
) -> dict[str, Any]:
    """Ask for the guides number `seed` and after; return what became of them.

    Args:
        passed: gets how many were asked for, and what became of them so far; says whether to go on.
    """
    tally, done, running = Tally(), SimpleQueue[Asked](), 0
    began = time.monotonic()
    for number in range(seed, seed + count):
        running += _ask(runtime, number, tally, done.put)
        while running >= AT_ONCE:
            running -= _note_next(tally, done)
        if not passed(number + 1 - seed, tally):
            break
    while running:
        running -= _note_next(tally, done)
    return {"seed": seed, **tally.found(), "minutes": (time.monotonic() - began) / 60}


def _ask(runtime: Runtime, number: int, tally: Tally, done: Callable[[Asked], None]) -> bool:
    """Ask for one guide; return whether an answer will come."""
    tally.asked += 1
    if number % UNSUPPORTED_EVERY == UNSUPPORTED_EVERY - 1:
        _ask_unsupported(runtime, number, tally)
        return False
    guided = any_guide(number)
    tally.kinds[guided.kind] += 1
    assert runtime.services.grammars is not None
    try:
        made = runtime.services.grammars.compile(Source(guided.kind, guided.guide))
        asked = Asked(number, made, guided, done)
        runtime.submit(asked.given, asked)
    except RequestError as exc:
        tally.refused += 1
        tally.reasons[exc.limit] += 1
        if exc.error_type != "bad_grammar":
            tally.fault(f"number {number}: {exc}")
        return False
    tally.streamed += asked.given["stream"]
    return True


def _ask_unsupported(runtime: Runtime, number: int, tally: Tally) -> None:
    """Ask for what cannot be enforced: it must be refused before it is queued."""
    tally.unsupported += 1
    guide = unsupported(number)
    try:
        handle = runtime.submit({"text_input": "a", **asking(guide.kind, guide.guide)}, lambda chunk: None)
    except RequestError as exc:
        if exc.error_type != "bad_grammar":
            tally.fault(f"number {number}: {exc}")
    else:
        handle.cancel()
        tally.fault(f"number {number}: {guide} was not refused")


def _note_next(tally: Tally, done: SimpleQueue[Asked]) -> int:
    try:
        tally.note(done.get(timeout=WAIT))
    except Empty:
        tally.fault(f"no answer came for {WAIT:.0f} s")
    return 1


def claims(found: Found) -> list[Claim]:
    """Return what must hold."""
    faults, asked = faults_of(found), found["asked"]
    words = [*found["outcomes"].values(), found["short_of_room"]]
    complex_ones = sum(one.get(COMPLEX, 0) for one in words)
    made = [
        Claim(
            f"{faults} of {asked:,} got a wrong text, a wrong error or none, or were not refused; none may", not faults
        ),
        Claim(
            f"{found['refused']} that should be enforced were refused, {MOST_REFUSED:.0%} may be",
            found["refused"] <= MOST_REFUSED * asked,
        ),
        Claim(
            f"{complex_ones} got too complex on the way, {MOST_TOO_COMPLEX:.0%} may",
            complex_ones <= MOST_TOO_COMPLEX * asked,
        ),
    ]
    for way, one in found["outcomes"].items():
        if ended_early(found) and not one:
            continue
        share = one.get(COMPLETE, 0) / max(1, sum(one.values()))
        made.append(Claim(f"{way}: {share:.1%} are complete, {LEAST_COMPLETE:.0%} must be", share >= LEAST_COMPLETE))
    return made


def ended_early(found: Found) -> bool:
    """Return whether fewer were asked than the command says."""
    return f"--count {found['asked']} " not in found["command"]


def faults_of(found: Found) -> int:
    """Return how many requests were at fault, those included that the record does not quote."""
    return len(found["faults"]) + int(found["faults_not_shown"])


def section(found: Found) -> str:
    """Return the section of perf/RELIABILITY.md."""
    rows = [
        f"| {way} | {sum(words.values()):,} | {words.get(COMPLETE, 0):,} | {words.get(CUT, 0):,} |"
        f" {words.get(COMPLEX, 0):,} |"
        for way, words in [*found["outcomes"].items(), ("any, with less room", found["short_of_room"])]
    ]
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(found["kinds"].items()))
    table = "\n".join(rows)
    quoted = "".join(f"{fault}\n" for fault in found["faults"])
    early = ", ended early" if ended_early(found) else ""
    return f"""
## Under grammars by chance

`{found["command"]}`{early}, at commit {found["commit"]}, on {found["measured_at"]}, {found["machine"]["cores"]} cores:
{found["asked"]:,} guides that nobody wrote, {AT_ONCE} at once, drawn by {found["machine"]["model"]} at temperature 1,
{found["streamed"]:,} of them streamed. By kind: {kinds}.
{found["unsupported"]:,} more could not be enforced. {faults_of(found)} requests were at fault: a complete answer that
jsonschema, re or an own reader of the form does not take, an error or none, or a guide that should have been refused
before anything was generated. {found["refused"]:,} others were refused too, as too complex to be followed.
The table counts answers whose shortest text fits `max_tokens` twice, and in its last line the others. It took
{found["minutes"]:.0f} minutes.

| way | answers | complete | cut, or no filling | too complex on the way |
| --- | --- | --- | --- | --- |
{table}
""" + (f"\nAt fault were:\n\n```text\n{quoted}```\n" if quoted else "")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m trimode_perf fuzz-guides", description=__doc__)
    made.add_argument("--count", type=int, default=10_000, metavar="N", help="guides [%(default)s]")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="the number of the first guide [%(default)s]")
    made.add_argument("--bundle", type=Path, default=BUNDLE, metavar="DIR", help="[build/out/nano-float32]")
    made.add_argument("--out", type=Path, default=PERF, metavar="DIR", help="[perf]")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run it; return 0, 1 where a claim does not hold or something failed, or 130 when interrupted twice."""
    options = parser().parse_args(arguments)
    return run("fuzz-guides", lambda: fuzz(options), TrimodeError)


def fuzz(options: argparse.Namespace) -> int:
    """Ask for guides, write what was found, and return the status."""
    threads = len(os.sched_getaffinity(0))
    config = ServerConfig(bundle=options.bundle, threads=threads, max_slots=16, max_queue=4 * AT_ONCE)
    found: dict[str, Any] = about(f"python -m trimode_perf fuzz-guides --count {options.count} --seed {options.seed}")
    found |= {"commit": commit(), "machine": describe(Manifest.load(options.bundle), config)}
    runtime = Runtime.open(config)
    try:
        with _interruptible() as stopped, progress(options.count, "guides by chance") as bar:

            def passed(number: int, tally: Tally) -> bool:
                bar.at(number, f"guides by chance, {number:,} asked, {tally.count} faults")
                return not stopped.is_set()

            found |= measure(runtime, options.count, options.seed, passed)
    finally:
        runtime.close()
    save(options.out / RESULTS, rounded(found))
    return conclusion(claims(found))


@contextlib.contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Give what Ctrl-C or a signal to terminate sets; the next one interrupts as usual."""
    stopped = threading.Event()
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}

    def stop(*_: object) -> None:
        stopped.set()
        print("what runs is waited for; interrupt again to keep nothing", file=sys.stderr, flush=True)
        for one in before:
            signal.signal(one, signal.default_int_handler)

    for one in before:
        signal.signal(one, stop)
    try:
        yield stopped
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)

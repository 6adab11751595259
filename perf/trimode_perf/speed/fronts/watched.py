"""What it costs the server to be watched: streams with and without the blocks after passes, in pairs.

The reader takes what comes over HTTP and draws nothing, as a page does between two frames. Each prompt is asked in
every way in every round, each way first in turn.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from dataclasses import asdict
from typing import Any

import psutil
from trimode.api.tensors import MODEL_NAME

from ...common.claims import Claim, figure
from ...common.markdown import spread, table
from ...common.prompts import Prompt
from ...common.statistics import Spread, ratios
from .. import Context, Data, Found, Part
from .behind import server_at, spent
from .callers import HttpCaller

STREAM = f"/v2/models/{MODEL_NAME}/generate_stream"
FRAME_MS = 33
"""What the playground asks with; a test holds it equal to the page's own constant."""
PLAIN = "plain"
PAGE = "as the playground asks"
WAYS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    PAGE: {"stream_provisional": True, "stream_interval_ms": FRAME_MS},
    "a response after each pass": {"stream_provisional": True},
}
PASSES: dict[str, dict[str, Any]] = {
    "passes as the server decides": {},
    "8 passes a block, as the playground's link asks": {"denoise_steps": 8, "reveal": "steps"},
}
LEAST = 0.97
"""Least share of its speed that a watched stream must keep; the project set it itself."""
MIN_ROUNDS = 3


def measure(context: Context) -> dict[str, Data]:
    """Return the seconds and the processor time of watched streams against those of plain ones."""
    rows = {}
    with context.server() as at, closing(HttpCaller(at.http)) as caller:
        server = server_at(at.grpc)
        for index, (name, fields) in enumerate(PASSES.items()):
            given = {"mode": "diffusion", "stream": True, "max_tokens": context.options.max_tokens, **fields}
            bench = Bench(caller, server, given)
            pace = context.pace(index / len(PASSES), (index + 1) / len(PASSES))
            for number in pace.rounds(MIN_ROUNDS):
                for turn, prompt in enumerate(context.prompts):
                    bench.ask(prompt, first=number + turn, kept=number > 0)  # round 0 warms up
                pace.show()
            rows[name] = bench.row()
    return {"watched": {"prompts": len(context.prompts), "cases": rows}}


class Bench:
    """Asks one server in every way, and keeps seconds, events and processor seconds of each."""

    def __init__(self, caller: HttpCaller, server: psutil.Process, given: dict[str, Any]) -> None:
        self._caller, self._server, self._given = caller, server, given
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)
        self._events: defaultdict[str, list[int]] = defaultdict(list)
        self._processor: defaultdict[str, list[float]] = defaultdict(list)

    def ask(self, prompt: Prompt, *, first: int, kept: bool) -> None:
        """Ask one prompt in every way, beginning with way number `first`, counted round and round."""
        ways, begin = [*WAYS], first % len(WAYS)
        for way in ways[begin:] + ways[:begin]:
            began = self._spent()
            taken = self._caller.ask(STREAM, {**prompt.fields, **self._given, **WAYS[way]})
            if kept:
                self._processor[way].append(self._spent() - began)
                self._seconds[way].append(taken.seconds)
                self._events[way].append(taken.count)

    def _spent(self) -> float:
        """Return the processor seconds of the front, of Triton and of what runs the passes."""
        return sum(spent(process) for process in (self._server, *self._server.children(recursive=True)))

    def row(self) -> Data:
        """Return events an answer of each way, and the ratios of pairs, watched against plain."""
        events = {way: Spread.of([float(count) for count in counts]).median for way, counts in self._events.items()}
        return {
            "pairs": len(self._seconds[PLAIN]),
            "events": events[PLAIN],
            "watched": {
                way: {
                    "events": events[way],
                    "speed": asdict(ratios(self._seconds[PLAIN], self._seconds[way])),
                    "processor": asdict(ratios(self._processor[way], self._processor[PLAIN])),
                }
                for way in WAYS
                if way != PLAIN
            },
        }


def section(found: Found) -> str:
    """Return what being watched costs."""
    rows = [
        [
            name,
            way,
            f"{case['events']:.0f}",
            f"{row['events']:.0f}",
            spread(row["speed"], 2),
            spread(row["processor"], 2),
            case["pairs"],
        ]
        for name, case in found["watched"]["cases"].items()
        for way, row in case["watched"].items()
    ]
    titles = (
        "diffusion",
        "watched",
        "events, plain",
        "events, watched",
        "speed, watched : plain",
        "processor time, watched : plain",
        "pairs",
    )
    return f"""### What it costs to be watched

Streams with `stream_provisional`, which sends the block after each pass, against plain ones: the same
{found["watched"]["prompts"]} prompts over HTTP, in pairs. The playground asks with `stream_interval_ms` {FRAME_MS}, so
that passes travel together; what that gains is seen against a response after each pass. The reader takes the events and
draws nothing. It runs on the same cores, so its own work counts in the speed and not in the processor time, which is
that of all the server's processes.

{table(titles, rows)}
"""


def claims(found: Found) -> list[Claim]:
    """Return how much of its speed a stream loses when it is watched as the playground does."""
    speeds = {name: case["watched"][PAGE]["speed"]["median"] for name, case in found["watched"]["cases"].items()}
    return [
        Claim(
            f"a stream watched as the playground does has {figure(speed, LEAST)} of a plain one's speed, {LEAST:.2f} "
            f"at least ({name})",
            speed >= LEAST,
        )
        for name, speed in speeds.items()
    ]


PART = Part("watched", "what it costs to be watched", ("watched",), 60, measure, section, claims, apart=True)

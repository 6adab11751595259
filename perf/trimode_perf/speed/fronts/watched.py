"""What it costs the server to be watched: streams with and without the block after each pass, in pairs.

The reader takes what comes over HTTP and draws nothing, as a page does between two frames. Each prompt is asked both
ways in every round, each way first in turn.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from dataclasses import asdict
from typing import Any

import psutil
from trimode.api.tensors import MODEL_NAME

from ...common.claims import Claim
from ...common.markdown import spread, table
from ...common.prompts import Prompt
from ...common.statistics import Spread, ratios
from .. import Context, Data, Found, Part
from .behind import server_at, spent
from .callers import HttpCaller

STREAM = f"/v2/models/{MODEL_NAME}/generate_stream"
WAYS = {"plain": {}, "watched": {"stream_provisional": True}}
PASSES = {
    "passes as the server decides": {},
    "8 passes a block, as the playground's link asks": {"denoise_steps": 8, "reveal": "steps"},
}
MOST_COST = 0.03
"""Most of its speed that a watched stream may lose; the project set it itself."""
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
                    bench.ask(prompt, backwards=(number + turn) % 2 == 1, kept=number > 0)  # round 0 warms up
                pace.show()
            rows[name] = bench.row()
    return {"watched": {"prompts": len(context.prompts), "cases": rows}}


class Bench:
    """Asks one server both ways, and keeps seconds, events and processor seconds of each way."""

    def __init__(self, caller: HttpCaller, server: psutil.Process, given: dict[str, Any]) -> None:
        self._caller, self._server, self._given = caller, server, given
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)
        self._events: defaultdict[str, list[int]] = defaultdict(list)
        self._processor: defaultdict[str, list[float]] = defaultdict(list)

    def ask(self, prompt: Prompt, *, backwards: bool, kept: bool) -> None:
        """Ask one prompt both ways."""
        for way in sorted(WAYS, reverse=backwards):
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
        """Return the ratios of pairs, watched against plain, and events an answer."""
        events = {way: Spread.of([float(count) for count in counts]).median for way, counts in self._events.items()}
        return {
            "pairs": len(self._seconds["plain"]),
            "events": events,
            "speed": asdict(ratios(self._seconds["plain"], self._seconds["watched"])),
            "processor": asdict(ratios(self._processor["watched"], self._processor["plain"])),
        }


def section(found: Found) -> str:
    """Return what being watched costs."""
    rows = [
        [
            name,
            f"{row['events']['plain']:.0f}",
            f"{row['events']['watched']:.0f}",
            spread(row["speed"], 2),
            spread(row["processor"], 2),
            row["pairs"],
        ]
        for name, row in found["watched"]["cases"].items()
    ]
    titles = (
        "diffusion",
        "events",
        "events, watched",
        "speed, watched : plain",
        "processor time, watched : plain",
        "pairs",
    )
    return f"""### What it costs to be watched

Streams with `stream_provisional`, which sends the block after each pass, against plain ones: the same
{found["watched"]["prompts"]} prompts over HTTP, in pairs. The reader takes the events and draws nothing. It runs on the
same cores, so its own work counts in the speed and not in the processor time, which is that of all the server's
processes.

{table(titles, rows)}
"""


def claims(found: Found) -> list[Claim]:
    """Return how much of its speed a stream loses when it is watched."""
    return [
        Claim(
            f"a watched stream has {row['speed']['median']:.2f} of a plain one's speed, {1 - MOST_COST:.2f} at least "
            f"({name})",
            row["speed"]["median"] >= 1 - MOST_COST,
        )
        for name, row in found["watched"]["cases"].items()
    ]


PART = Part("watched", "what it costs to be watched", ("watched",), 40, measure, section, claims)

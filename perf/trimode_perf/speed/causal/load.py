"""Answers through Triton over gRPC, for one to sixteen askers at once, in each precision there is.

A caller is a stream that stays open and a thread that asks its share of the questions, one after the other; every
answer has the same number of tokens. The prefix cache is off.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trimode_client.local_server import serving

from ...common import WORK
from ...common.markdown import spread, table
from ...common.progress import Pace
from ...common.prompts import Prompt
from ...common.statistics import Spread, percentile, ratios
from .. import Context, Data, Found, Part
from ..fronts.callers import GrpcCaller, Taken, message

LEVELS = (1, 2, 4, 8, 16)
TOKENS = 48
MIN_ROUNDS = 2


def measure(context: Context) -> dict[str, Data]:
    """Ask every precision's server at every level, in rounds; the first warms up."""
    bundles = context.bundles
    rows: list[Data] = []
    rounds = {}
    for number, (precision, bundle) in enumerate(bundles.items()):
        pace = context.pace(number / len(bundles), (number + 1) / len(bundles))
        found, rounds[precision] = _of(bundle, context.every, pace)
        rows += [{"precision": precision, **row} for row in found]
    return {"load": {"tokens": TOKENS, "rounds": rounds, "rows": rows}}


def _of(bundle: Path, prompts: Sequence[Prompt], pace: Pace) -> tuple[list[Data], int]:
    """Return a row a level, and the number of rounds; every caller of the largest crowd has a question."""
    requests = [message(_fields(prompts[number % len(prompts)])) for number in range(max(LEVELS))]
    crowds: defaultdict[int, list[tuple[list[Taken], float]]] = defaultdict(list)
    with serving(bundle.resolve(), WORK / "server.log") as at, ExitStack() as stack:
        callers = [stack.enter_context(closing(GrpcCaller(at.grpc))) for _ in range(max(LEVELS))]
        for number, level in pace.shuffled(LEVELS, MIN_ROUNDS):
            crowd = together(callers[:level], requests)
            if number > 0:
                crowds[level].append(crowd)
    return [_row(level, crowds) for level in LEVELS], number


def _fields(prompt: Prompt) -> dict[str, Any]:
    """Return the request; -1 is no token's id, so that nothing ends an answer before."""
    return {"messages": json.dumps(list(prompt.messages or ())), "max_tokens": TOKENS, "end_id": -1, "stream": True}


def together(callers: Sequence[GrpcCaller], requests: Sequence[bytes]) -> tuple[list[Taken], float]:
    """Ask each of `requests` once, every caller its share; return how answers came, and the seconds of all."""

    def ask(number: int) -> list[Taken]:
        return [callers[number].ask(request) for request in requests[number :: len(callers)]]

    began = time.perf_counter()
    with ThreadPoolExecutor(len(callers)) as pool:
        taken = [one for own in pool.map(ask, range(len(callers))) for one in own]
    return taken, time.perf_counter() - began


def _row(level: int, crowds: dict[int, list[tuple[list[Taken], float]]]) -> Data:
    def rates(level: int) -> list[float]:
        return [len(taken) * TOKENS / seconds for taken, seconds in crowds[level]]

    answers = [one for taken, _ in crowds[level] for one in taken]
    return {
        "at_once": level,
        "tokens_per_second": asdict(Spread.of(rates(level))),
        "against_alone": asdict(ratios(rates(level), rates(1))),
        "first_milliseconds": asdict(Spread.of([1000 * one.first for one in answers])),
        "first_p95_ms": percentile([1000 * one.first for one in answers], 95),
        "answer_milliseconds": asdict(Spread.of([1000 * one.seconds for one in answers])),
    }


def section(found: Found) -> str:
    """Return what each level gave."""
    load = found["load"]
    titles = ("precision", "at once", "tokens/s", "against one at a time", "first token ms", "p95", "answer ms")
    rows = [
        [
            *(row["precision"], row["at_once"], spread(row["tokens_per_second"], 0), spread(row["against_alone"])),
            *(spread(row["first_milliseconds"], 0), f"{row['first_p95_ms']:.0f}"),
            spread(row["answer_milliseconds"], 0),
        ]
        for row in load["rows"]
    ]
    rounds = ", ".join(f"{number} in {precision}" for precision, number in load["rounds"].items())
    return f"""## Many at once, through Triton

Over gRPC, streamed, {load["tokens"]} tokens an answer; so many callers, each with its next question when its last is
answered; levels in shuffled order, rounds: {rounds}. Medians with quartiles.

{table(titles, rows, left=("precision",))}
"""


PART = Part("load", "many at once through Triton", ("load",), 100, measure, section)

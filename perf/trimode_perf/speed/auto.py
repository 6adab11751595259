"""Auto against every fixed choice it could have made: alone by domain, and at every concurrency; same prompts, in turn.

In process, so that nothing but the loop and the engine is timed. Auto knows other prompts of the same domains, as a
server does that has run for a while, and none of those that are timed.
"""

from __future__ import annotations

import copy
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from trimode.runtime import Runtime

from ..common.ask import Crowd, Finished, ask_together
from ..common.prompts import Prompt
from ..common.statistics import Spread, percentile, ratios

FIXED: dict[str, dict[str, Any]] = {
    "autoregressive": {"mode": "autoregressive"},
    "self_speculation, block 8": {"mode": "self_speculation", "block_length": 8},
    "self_speculation, block 16": {"mode": "self_speculation", "block_length": 16},
    "self_speculation": {"mode": "self_speculation"},
}
"""All of them give the same text; the last one has the checkpoint's own block."""
AUTO = {"auto": {"mode": "auto"}}
DIFFUSION = {"diffusion": {"mode": "diffusion"}}
LEVELS = (1, 2, 4, 8, 16)
MIN_ROUNDS = 3
Progress = Callable[[float], None]


class Learnt:
    """What auto knows after prompts of the same domains, put back so that it never meets a timed prompt twice."""

    def __init__(self, runtime: Runtime, familiar: Sequence[Prompt], max_tokens: int) -> None:
        for prompt in familiar:
            runtime.generate({**prompt.fields, "mode": "auto", "max_tokens": max_tokens})
        self._runtime = runtime
        self._rest()
        self._similar = copy.deepcopy(runtime.auto.similar)

    def put_back(self) -> None:
        """Forget what came since, once nothing runs."""
        self._rest()
        self._runtime.auto.similar = copy.deepcopy(self._similar)

    def _rest(self) -> None:
        """Wait until the last request is done with, a moment after its answer: the next one begins only then."""
        self._runtime.generate({"input_ids": [0], "mode": "autoregressive", "max_tokens": 1})


def by_domain(
    runtime: Runtime, prompts: Sequence[Prompt], learnt: Learnt, max_tokens: int, seconds: float, progress: Progress
) -> dict[str, Any]:
    """Return milliseconds of each domain's prompts, one at a time, by choice; after two rounds of warm-up.

    Every prompt is asked with every choice before the next one is; the order of choices is shuffled.
    """
    choices = {**FIXED, **AUTO}
    taken: defaultdict[tuple[str, str], list[list[float]]] = defaultdict(list)  # (choice, domain): a list per round
    texts: defaultdict[int, set[str]] = defaultdict(set)
    order, shuffle = list(choices), random.Random(0).shuffle
    began, rounds = time.perf_counter(), -2
    while rounds < MIN_ROUNDS or time.perf_counter() - began < seconds:
        rounds += 1
        this: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        for index, prompt in enumerate(prompts):
            learnt.put_back()
            shuffle(order)
            for choice in order:
                started = time.perf_counter()
                chunk = runtime.generate({**prompt.fields, **choices[choice], "max_tokens": max_tokens})
                this[choice, prompt.domain].append(1000 * (time.perf_counter() - started))
                texts[index].add(chunk.text)
            progress((time.perf_counter() - began) / seconds)
        if rounds > 0:
            for key, values in this.items():
                taken[key].append(values)
    domains = {
        domain: _against(taken["auto", domain], {choice: taken[choice, domain] for choice in choices})
        for domain in sorted({prompt.domain for prompt in prompts})
    }
    return {
        "rounds": rounds,
        "prompts": len(prompts),
        "same_text": all(len(found) == 1 for found in texts.values()),
        "domains": domains,
    }


def _against(auto: list[list[float]], taken: dict[str, list[list[float]]]) -> dict[str, float]:
    """Return the sum over prompts of auto's median over rounds times the median of a choice's ratio to it.

    Ratios pair samples of one prompt and round, since the machine is not equally fast in all of them.
    """
    own = np.asarray(auto)  # (rounds, prompts)
    return {
        choice: float(np.sum(np.median(own, axis=0) * np.median(np.asarray(other) / own, axis=0)))
        for choice, other in taken.items()
    }


def by_concurrency(
    runtime: Runtime, prompts: Sequence[Prompt], learnt: Learnt, max_tokens: int, seconds: float, progress: Progress
) -> dict[str, Any]:
    """Return latency, time to the first text and tokens per second of a crowd of each size, by choice.

    A crowd asks each prompt once, every member its next one as soon as the last is answered; the first round warms up.
    Greedy texts of all choices that decode exactly must be those given alone, sampled ones too.
    """
    choices = {**FIXED, **DIFFUSION, **AUTO}
    alone = {
        name: [runtime.generate({**p.fields, **c, "max_tokens": max_tokens}).text for p in prompts]
        for name, c in choices.items()
    }
    rounds: defaultdict[tuple[int, str], list[Crowd]] = defaultdict(list)
    order, shuffle = list(choices), random.Random(0).shuffle
    began, done, equal = time.perf_counter(), -1, True
    while done < MIN_ROUNDS or time.perf_counter() - began < seconds:
        for level in LEVELS:
            shuffle(order)
            for name in order:
                learnt.put_back()
                crowd = ask_together(runtime, [{**p.fields, **choices[name]} for p in prompts], level, max_tokens)
                if done >= 0:
                    rounds[level, name].append(crowd)
                equal &= crowd.texts == alone[name]
                progress((time.perf_counter() - began) / seconds)
        done += 1
    return {
        "rounds": done,
        "prompts": len(prompts),
        "equal_to_alone": equal,
        "sampled_equal_to_alone": sampled_alike(runtime, prompts, max_tokens),
        "rows": [_row(level, name, rounds) for level in LEVELS for name in choices],
    }  # fmt: skip


def sampled_alike(runtime: Runtime, prompts: Sequence[Prompt], max_tokens: int) -> bool:
    """Whether seeded sampling gives the same texts in a crowd as alone, in every mode."""
    for choice in ({"mode": "autoregressive"}, {"mode": "self_speculation"}, {"mode": "diffusion"}, {"mode": "auto"}):
        asked = [{**p.fields, **choice, "temperature": 0.7, "seed": n} for n, p in enumerate(prompts)]
        alone = [runtime.generate({**one, "max_tokens": max_tokens}).text for one in asked]
        if ask_together(runtime, asked, 8, max_tokens).texts != alone:
            return False
    return True


def _row(level: int, name: str, rounds: dict[tuple[int, str], list[Crowd]]) -> dict[str, Any]:
    answers: list[Finished] = [answer for crowd in rounds[level, name] for answer in crowd.answers]
    whole = [1000 * answer.seconds for answer in answers]

    def against(at: int, choice: str) -> dict[str, float]:
        return asdict(ratios(_rates(rounds[level, name]), _rates(rounds[at, choice])))

    rates = Spread.of(_rates(rounds[level, name]))
    return {
        "concurrency": level,
        "choice": name,
        **{f"p{share}_ms": percentile(whole, share) for share in (50, 95, 99)},
        "first_p50_ms": percentile([1000 * answer.first_seconds for answer in answers], 50),
        "tokens_per_second": asdict(rates),
        "tokens_per_second_per_user": rates.median / level,
        "against_autoregressive": against(level, "autoregressive"),
        "against_auto": against(level, "auto"),
        "against_alone": against(1, name),
    }


def _rates(crowds: list[Crowd]) -> list[float]:
    return [crowd.tokens / crowd.seconds for crowd in crowds]

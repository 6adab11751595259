"""Auto against every fixed choice it could have made: alone by domain, and at every concurrency; same prompts, in turn.

In process, so that nothing but the loop and the engine is timed. Auto knows other prompts of the same domains, as a
server does that has run for a while, and none of those that are timed.
"""

from __future__ import annotations

import copy
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from trimode.runtime import Runtime

from ...common.ask import Crowd, ask
from ...common.progress import Pace
from ...common.prompts import Prompt, halves, load
from ...common.prompts import spread as spread_prompts
from ...common.statistics import Spread, percentile, ratios
from .. import MODES, Context, Data, Part
from .halves import crossed
from .report import claims, section, summary

FIXED: dict[str, dict[str, Any]] = {
    "autoregressive": {"mode": "autoregressive"},
    "self_speculation, block 8": {"mode": "self_speculation", "block_length": 8},
    "self_speculation, block 16": {"mode": "self_speculation", "block_length": 16},
    "self_speculation": {"mode": "self_speculation"},
    "quadratic, block 4": {"mode": "self_speculation", "speculation": "quadratic", "block_length": 4},
}
"""All of them give the same text; plain self_speculation has the checkpoint's own block.

Of quadratic passes there is the cheapest on a CPU: a pass over a draft of 4 takes 20 tokens, over one of 8 it takes 72.
"""
AUTO, DIFFUSION = {"auto": {"mode": "auto"}}, {"diffusion": {"mode": "diffusion"}}
LEVELS = (1, 2, 4, 8, 16)
MIN_ROUNDS = 8
"""Four in each half."""
MIN_PROMPTS = 4
DOMAIN_COST, CROWD_COST = 90, 380
"""What a prompt takes by domain and by concurrency, warm-up and MIN_ROUNDS together, in answers of auto alone."""
DOMAINS_SHARE = 0.25
"""Of the time, what is spent by domain; the rest is by concurrency. Then each has as many prompts as it needs: one of
every domain, and more than a crowd of the largest size."""


def measure(context: Context) -> dict[str, Data]:
    """Compare by domain on half of the prompts, where auto knows the other half, then by concurrency on all domains."""
    asked = context.options
    timed, familiar = halves(load(context.heldout, 2 * asked.per_domain))
    learnt = Learnt(context.runtime, familiar, asked.max_tokens)
    return {
        "domains": by_domain(learnt, timed, context.pace(0.0, DOMAINS_SHARE)),
        "concurrency": by_concurrency(learnt, context.every, context.pace(DOMAINS_SHARE)),
    }


class Learnt:
    """A runtime whose auto knows prompts of the same domains, put back so that it never meets a timed prompt twice."""

    def __init__(self, runtime: Runtime, familiar: Sequence[Prompt], max_tokens: int) -> None:
        self.runtime, self.max_tokens, began = runtime, max_tokens, time.perf_counter()
        for prompt in familiar:
            self.ask(prompt, AUTO["auto"])
        self._seconds = (time.perf_counter() - began) / len(familiar)
        self._rest()
        self._similar = copy.deepcopy(runtime.auto.similar)

    def affordable(self, prompts: Sequence[Prompt], cost: float, pace: Pace) -> list[Prompt]:
        """Return as many of `prompts` as there is time for, where each takes `cost` answers; MIN_PROMPTS at least."""
        return spread_prompts(prompts, max(MIN_PROMPTS, int(pace.seconds / (cost * self._seconds))))

    def ask(self, prompt: Prompt, fields: Data) -> str:
        """Return the text of an answer given alone."""
        return self.runtime.generate({**prompt.fields, **fields, "max_tokens": self.max_tokens}).text

    def crowd(self, prompts: Sequence[Prompt], fields: Sequence[Data], at_once: int) -> Crowd:
        """Ask `prompts`, each with its fields, streamed, so many at once."""
        shared = {"stream": True, "max_tokens": self.max_tokens}
        requests = [{**prompt.fields, **one, **shared} for prompt, one in zip(prompts, fields, strict=True)]
        return ask(self.runtime, requests, at_once)

    def put_back(self) -> None:
        """Forget what came since, once nothing runs."""
        self._rest()
        self.runtime.auto.similar = copy.deepcopy(self._similar)

    def _rest(self) -> None:
        """Wait until the last request is done with, a moment after its answer: the next one begins only then."""
        self.runtime.generate({"input_ids": [0], "mode": "autoregressive", "max_tokens": 1})


def by_domain(learnt: Learnt, prompts: Sequence[Prompt], pace: Pace) -> Data:
    """Return milliseconds of each domain's prompts, one at a time, by choice; after a round of warm-up.

    Every prompt is asked with every choice before the next one is; the order of choices is shuffled. Where time is
    short fewer prompts are asked.
    """
    prompts = learnt.affordable(prompts, DOMAIN_COST, pace)
    choices = {**FIXED, **AUTO}
    taken: defaultdict[tuple[str, str], defaultdict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    texts: defaultdict[int, set[str]] = defaultdict(set)
    order, shuffle, rounds = list(choices), random.Random(0).shuffle, 0
    for rounds in pace.rounds(MIN_ROUNDS):
        for index, prompt in enumerate(prompts):
            learnt.put_back()
            shuffle(order)
            for choice in order:
                started = time.perf_counter()
                texts[index].add(learnt.ask(prompt, choices[choice]))
                taken[choice, prompt.domain][rounds].append(1000 * (time.perf_counter() - started))
            pace.show()
    kept = {key: [times[n] for n in range(1, rounds + 1)] for key, times in taken.items()}
    domains = {
        domain: _against(kept["auto", domain], {choice: kept[choice, domain] for choice in choices})
        for domain in sorted({prompt.domain for prompt in prompts})
    }
    halves = {domain: _halves({choice: kept[choice, domain] for choice in choices}) for domain in domains}
    same = all(len(found) == 1 for found in texts.values())
    return {"rounds": rounds, "prompts": len(prompts), "same_text": same, "domains": domains, "halves": halves}


def _halves(taken: dict[str, list[list[float]]]) -> Data:
    """Return the choice with the least time in each half of the rounds, and auto's speed against the other half's.

    Args:
        taken: milliseconds by choice, round and prompt.
    """
    one, other = ({choice: times[begin::2] for choice, times in taken.items()} for begin in (0, 1))
    sums = [_against(half["auto"], half) for half in (one, other)]
    best = [min((choice for choice in half if choice != "auto"), key=half.__getitem__) for half in sums]
    rival = sums[0][best[1]] + sums[1][best[0]]
    return {"best": best, "share": rival / sum(half["auto"] for half in sums)}


def _against(auto: list[list[float]], taken: dict[str, list[list[float]]]) -> dict[str, float]:
    """Return the sum over prompts of auto's median over rounds times the median of a choice's ratio to it.

    Ratios pair samples of one prompt and round, since the machine is not equally fast in all of them.
    """
    own = np.asarray(auto)  # (rounds, prompts)
    return {
        choice: float(np.sum(np.median(own, axis=0) * np.median(np.asarray(other) / own, axis=0)))
        for choice, other in taken.items()
    }


def by_concurrency(learnt: Learnt, prompts: Sequence[Prompt], pace: Pace) -> Data:
    """Return latency, time to the first text and tokens per second of a crowd of each size, by choice.

    A crowd asks each prompt once, every member its next one as soon as the last is answered; the first round warms up.
    Greedy texts of all choices that decode exactly must be those given alone, sampled ones too. Where time is short
    fewer prompts are asked.
    """
    prompts = learnt.affordable(prompts, CROWD_COST, pace)
    choices = {**FIXED, **DIFFUSION, **AUTO}
    alone = {name: [learnt.ask(prompt, fields) for prompt in prompts] for name, fields in choices.items()}
    rounds: defaultdict[tuple[int, str], list[Crowd]] = defaultdict(list)
    order, shuffle, done, equal = list(choices), random.Random(0).shuffle, 0, True
    for done in pace.rounds(MIN_ROUNDS):
        for level in LEVELS:
            shuffle(order)
            for name in order:
                learnt.put_back()
                crowd = learnt.crowd(prompts, [choices[name]] * len(prompts), level)
                if done > 0:
                    rounds[level, name].append(crowd)
                equal &= crowd.texts == alone[name]
                pace.show()
    return {
        "rounds": done,
        "prompts": len(prompts),
        "equal_to_alone": equal,
        "sampled_equal_to_alone": all(sampled_alike(learnt, prompts, mode) for mode in MODES),
        "rows": [_row(level, name, rounds) for level in LEVELS for name in choices],
        "halves": [_crossed(level, rounds) for level in LEVELS],
    }


def _crossed(level: int, rounds: dict[tuple[int, str], list[Crowd]]) -> Data:
    """Return auto's speed at `level`, round by round, against the fixed choice that was best in the other half."""
    rates = {name: [crowd.tokens / crowd.seconds for crowd in rounds[level, name]] for name in (*FIXED, *AUTO)}
    best, shares = crossed(rates.pop("auto"), rates)
    return {"concurrency": level, "best": best, "share": asdict(Spread.of(shares))}


def sampled_alike(learnt: Learnt, prompts: Sequence[Prompt], mode: str) -> bool:
    """Whether seeded sampling gives the same texts in a crowd as alone."""
    fields = [{"mode": mode, "temperature": 0.7, "seed": number} for number in range(len(prompts))]
    alone = [learnt.ask(prompt, one) for prompt, one in zip(prompts, fields, strict=True)]
    return learnt.crowd(prompts, fields, 8).texts == alone


def _row(level: int, name: str, rounds: dict[tuple[int, str], list[Crowd]]) -> dict[str, Any]:
    def rates(level: int, name: str) -> list[float]:
        return [crowd.tokens / crowd.seconds for crowd in rounds[level, name]]

    answers = [answer for crowd in rounds[level, name] for answer in crowd.answers]
    own = rates(level, name)
    others = {"autoregressive": (level, "autoregressive"), "auto": (level, "auto"), "alone": (1, name)}
    return {
        "concurrency": level,
        "choice": name,
        **{f"p{share}_ms": percentile([1000 * a.seconds for a in answers], share) for share in (50, 95, 99)},
        "first_p50_ms": percentile([1000 * answer.first_seconds for answer in answers], 50),
        "tokens_per_second": asdict(Spread.of(own)),
        "tokens_per_second_per_user": Spread.of(own).median / level,
        **{f"against_{other}": asdict(ratios(own, rates(*key))) for other, key in others.items()},
    }


PART = Part("auto", "auto by domain and by load", ("domains", "concurrency"), 400, measure, section, claims, summary)

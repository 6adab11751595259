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

from ..common.ask import Crowd, ask
from ..common.claims import Claim
from ..common.markdown import spread, table
from ..common.progress import Pace
from ..common.prompts import Prompt, halves, load
from ..common.prompts import spread as spread_prompts
from ..common.statistics import Spread, percentile, ratios
from . import MODES, Context, Data, Found, Part

FIXED: dict[str, dict[str, Any]] = {
    "autoregressive": {"mode": "autoregressive"},
    "self_speculation, block 8": {"mode": "self_speculation", "block_length": 8},
    "self_speculation, block 16": {"mode": "self_speculation", "block_length": 16},
    "self_speculation": {"mode": "self_speculation"},
}
"""All of them give the same text; the last one has the checkpoint's own block."""
AUTO, DIFFUSION = {"auto": {"mode": "auto"}}, {"diffusion": {"mode": "diffusion"}}
LEVELS = (1, 2, 4, 8, 16)
MIN_ROUNDS = 3
MIN_PROMPTS = 4
DOMAIN_COST, CROWD_COST = 34, 115
"""What a prompt takes by domain and by concurrency, warm-up and MIN_ROUNDS together, in answers of auto alone."""
DOMAINS_SHARE = 0.46
"""Of the time, what is spent by domain; the rest is by concurrency."""
BEST = 0.95
"""Least share of the best fixed choice's speed that auto must have."""
BATCH_AT, BATCH = 8, 2.5
"""Least gain of autoregressive from so many requests at once."""


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
    """Return milliseconds of each domain's prompts, one at a time, by choice; after two rounds of warm-up.

    Every prompt is asked with every choice before the next one is; the order of choices is shuffled. Where time is
    short fewer prompts are asked.
    """
    prompts = learnt.affordable(prompts, DOMAIN_COST, pace)
    choices = {**FIXED, **AUTO}
    taken: defaultdict[tuple[str, str], defaultdict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    texts: defaultdict[int, set[str]] = defaultdict(set)
    order, shuffle, rounds = list(choices), random.Random(0).shuffle, 0
    for rounds in pace.rounds(MIN_ROUNDS, warm_up=2):
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
    same = all(len(found) == 1 for found in texts.values())
    return {"rounds": rounds, "prompts": len(prompts), "same_text": same, "domains": domains}


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
    }


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


def section(found: Found) -> str:
    """Return auto against fixed choices, one request at a time and many at once."""
    return f"{_domains_section(found['domains'])}\n{_crowds_section(found['concurrency'])}"


def _domains_section(domains: Data) -> str:
    best = shares_by_domain(domains)
    choices = list(next(iter(domains["domains"].values())))
    rows = [
        [name, *(f"{taken[choice]:.0f}" for choice in choices), best[name][0], f"{best[name][1]:.2f}"]
        for name, taken in domains["domains"].items()
    ]
    same = "yes" if domains["same_text"] else "NO"
    return f"""## Auto, by domain

Milliseconds for all of a domain's prompts, one at a time in process: for auto the sum of each one's median over
{domains["rounds"]} rounds after two of warm-up, for the others that times the median ratio to it, of pairs of one
prompt and round. {domains["prompts"]} prompts, none of which auto has met: it knows others of the same domains.
Every choice gave the same text: {same}.

{table(("domain", *choices, "best fixed choice", "auto's speed against it"), rows)}
"""


def _crowds_section(found: Data) -> str:
    rows = []
    for row in found["rows"]:
        times = (f"{row[name]:.1f}" for name in ("p50_ms", "p95_ms", "p99_ms", "first_p50_ms"))
        rates = (f"{row['tokens_per_second']['median']:.0f}", f"{row['tokens_per_second_per_user']:.0f}")
        against = (spread(row[f"against_{other}"]) for other in ("autoregressive", "auto", "alone"))
        rows.append([row["concurrency"], row["choice"], *times, *rates, *against])
    titles = (
        *("at once", "choice", "p50 ms", "p95 ms", "p99 ms", "first text p50 ms", "tokens/s", "tokens/s each"),
        *("against autoregressive", "against auto", "against one at a time"),
    )
    same, sampled = ("yes" if found[name] else "NO" for name in ("equal_to_alone", "sampled_equal_to_alone"))
    return f"""## Auto and the others, by concurrency

In process, streamed: so many askers, each with its next prompt when the last is answered, until each of
{found["prompts"]} prompts, of every domain and unknown to auto, is answered; {found["rounds"]} rounds, choices in turn.
Ratios pair crowds of one round. Answers equal to those given alone: greedy {same}, sampled with a seed {sampled}.

{table(titles, rows)}
"""


def claims(found: Found) -> list[Claim]:
    """Return what auto must reach, what a crowd must win, and that the load changes no text."""
    domains, crowds = found["domains"], found["concurrency"]
    shares = shares_by_domain(domains)
    worst = min(shares, key=lambda name: shares[name][1])
    enough = sum(share >= BEST for _, share in shares.values())
    text = f"auto has at least {BEST:.0%} of the best fixed choice's speed in {enough} of {len(shares)} domains"
    made = [Claim(f"{text}; least in {worst}: {shares[worst][1]:.0%}", enough == len(shares))]
    for level, (choice, against) in shares_by_level(crowds).items():
        has = f"{against.median:.0%} ({against.low:.0%} to {against.high:.0%})"
        text = f"auto has {has} of the speed of the best fixed choice at {level} at once ({choice})"
        made.append(Claim(f"{text}, {BEST:.0%} at least", against.median >= BEST))
    choice, share = overall(domains)
    text = f"over all domains auto is {share:.2f} times as fast as the best single fixed choice ({choice})"
    made.append(Claim(text, share > 1.0))
    row = next(r for r in crowds["rows"] if (r["concurrency"], r["choice"]) == (BATCH_AT, "autoregressive"))
    gain = row["against_alone"]["median"]
    text = f"autoregressive at {BATCH_AT} at once gives {gain:.2f} times the tokens, {BATCH:g} at least"
    made.append(Claim(text, gain >= BATCH))
    same = {"greedy": crowds["equal_to_alone"], "sampled with a seed": crowds["sampled_equal_to_alone"]}
    differing = ", ".join(name for name, alike in same.items() if not alike)
    return [*made, Claim(f"answers at every load equal those alone: {differing or 'none'} differ", not differing)]


def shares_by_domain(domains: Data) -> dict[str, tuple[str, float]]:
    """Return, for each domain, the best fixed choice and auto's speed against it."""
    return {name: _best(taken) for name, taken in domains["domains"].items()}


def overall(domains: Data) -> tuple[str, float]:
    """Return the fixed choice that is best over all domains together, and auto's speed against it."""
    every = list(domains["domains"].values())
    return _best({choice: sum(taken[choice] for taken in every) for choice in every[0]})


def _best(taken: dict[str, float]) -> tuple[str, float]:
    best = min((choice for choice in taken if choice != "auto"), key=taken.__getitem__)
    return best, taken[best] / taken["auto"]


def shares_by_level(concurrency: Data) -> dict[int, tuple[str, Spread]]:
    """Return, for each concurrency, the fixed choice with the greatest median ratio to auto, and auto's ratio to it."""
    rates: defaultdict[int, dict[str, dict[str, float]]] = defaultdict(dict)
    for row in concurrency["rows"]:
        if row["choice"] not in ("auto", "diffusion"):
            rates[row["concurrency"]][row["choice"]] = row["against_auto"]
    best = {level: max(fixed, key=lambda choice: fixed[choice]["median"]) for level, fixed in sorted(rates.items())}
    names = ("median", "high", "low")
    return {level: (one, Spread(*(1 / rates[level][one][name] for name in names))) for level, one in best.items()}


def summary(found: Found) -> str:
    """Say how auto does over all domains, and at every load."""
    levels = shares_by_level(found["concurrency"])
    shares = ", ".join(f"{share.median:.0%} at {level}" for level, (_, share) in levels.items())
    choice, gain = overall(found["domains"])
    return f"""One prompt at a time, auto is {gain:.2f} times as fast over all domains as the best single fixed choice
that gives the same text ({choice}). With several requests at once it has this share of the best fixed
choice's speed (medians of pairs of one round): {shares}."""


PART = Part("auto", "auto by domain and by load", ("domains", "concurrency"), 390, measure, section, claims, summary)

"""Auto against fixed choices as the report says it, and what must hold of it."""

from __future__ import annotations

from collections import defaultdict

from ...common.claims import Claim
from ...common.markdown import spread, table
from ...common.statistics import Spread
from .. import Data, Found

BEST = 0.95
"""Least share of the best fixed choice's speed that auto must have."""
BATCH_AT, BATCH = 8, 2.5
"""Least gain of autoregressive from so many requests at once."""
SAME_ROUNDS = (
    "\nThe best choice is the one that was best in these same rounds: it was measured before rounds had halves.\n"
)
"""What a section says of a record of which rounds were not yet split."""
HALVES = """
The best choice is found in the odd rounds and held against the even ones, and the other way round.
"""


def section(found: Found) -> str:
    """Return auto against fixed choices, one request at a time and many at once."""
    return f"{_domains_section(found['domains'])}\n{_crowds_section(found['concurrency'])}"


def _domains_section(domains: Data) -> str:
    best = shares_by_domain(domains)
    choices, crossed = list(next(iter(domains["domains"].values()))), "halves" in domains
    rows = [
        [name, *(f"{taken[choice]:.0f}" for choice in choices), best[name][0], f"{best[name][1]:.2f}"]
        for name, taken in domains["domains"].items()
    ]
    same, warm_up = ("yes" if domains["same_text"] else "NO"), "one" if crossed else "two"
    halves = HALVES if crossed else SAME_ROUNDS
    return f"""## Auto, by domain

Milliseconds for all of a domain's prompts, one at a time in process: for auto the sum of each one's median over
{domains["rounds"]} rounds after {warm_up} of warm-up, for the others that times the median ratio to it, of pairs of one
prompt and round. {domains["prompts"]} prompts, none of which auto has met: it knows others of the same domains.
Every choice gave the same text: {same}.

{table(("domain", *choices, "best fixed choice", "auto's speed against it"), rows)}
{halves}"""


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
    halves = _halves(found) if "halves" in found else SAME_ROUNDS
    same, sampled = ("yes" if found[name] else "NO" for name in ("equal_to_alone", "sampled_equal_to_alone"))
    return f"""## Auto and the others, by concurrency

In process, streamed: so many askers, each with its next prompt when the last is answered, until each of
{found["prompts"]} prompts, of every domain and unknown to auto, is answered; {found["rounds"]} rounds, choices in turn.
Ratios pair crowds of one round. Answers equal to those given alone: greedy {same}, sampled with a seed {sampled}.

{table(titles, rows)}
{halves}"""


def _halves(found: Data) -> str:
    rows = [[row["concurrency"], " / ".join(row["best"]), spread(row["share"])] for row in found["halves"]]
    return f"""
{table(("at once", "best choice in odd and in even rounds", "auto's speed against the other half's"), rows)}
"""


def claims(found: Found) -> list[Claim]:
    """Return what auto must reach, what a crowd must win, and that the load changes no text."""
    domains, crowds = found["domains"], found["concurrency"]
    shares = shares_by_domain(domains)
    worst = min(shares, key=lambda name: shares[name][1])
    enough = sum(share >= BEST for _, share in shares.values())
    text = f"auto has at least {BEST:.0%} of the best fixed choice's speed in {enough} of {len(shares)} domains"
    made = [Claim(f"{text}; least in {worst}: {shares[worst][1]:.0%}", enough == len(shares))]
    rounds = ", best in the other half of the rounds" if "halves" in crowds else ""
    for level, (choice, against) in shares_by_level(crowds).items():
        has = f"{against.median:.0%} ({against.low:.0%} to {against.high:.0%})"
        text = f"auto has {has} of the speed of the best fixed choice at {level} at once ({choice}{rounds})"
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
    """Return, for each domain, the best fixed choice, of each half of the rounds, and auto's speed against it."""
    if "halves" in domains:
        return {name: (_names(half), half["share"]) for name, half in domains["halves"].items()}
    return {name: _best(taken) for name, taken in domains["domains"].items()}


def overall(domains: Data) -> tuple[str, float]:
    """Return the fixed choice that is best over all domains together, and auto's speed against it."""
    every = list(domains["domains"].values())
    return _best({choice: sum(taken[choice] for taken in every) for choice in every[0]})


def _best(taken: dict[str, float]) -> tuple[str, float]:
    best = min((choice for choice in taken if choice != "auto"), key=taken.__getitem__)
    return best, taken[best] / taken["auto"]


def shares_by_level(concurrency: Data) -> dict[int, tuple[str, Spread]]:
    """Return, for each concurrency, the fixed choice that is best by its median ratio to auto, and auto's ratio to it.

    Of halves of rounds there are two such choices, and auto's ratio is to that of the other half.
    """
    if "halves" in concurrency:
        return {row["concurrency"]: (_names(row), Spread(**row["share"])) for row in concurrency["halves"]}
    rates: defaultdict[int, dict[str, dict[str, float]]] = defaultdict(dict)
    for row in concurrency["rows"]:
        if row["choice"] not in ("auto", "diffusion"):
            rates[row["concurrency"]][row["choice"]] = row["against_auto"]
    best = {level: max(fixed, key=lambda choice: fixed[choice]["median"]) for level, fixed in sorted(rates.items())}
    names = ("median", "high", "low")
    return {level: (one, Spread(*(1 / rates[level][one][name] for name in names))) for level, one in best.items()}


def _names(halves: Data) -> str:
    """Return the best choices of both halves, once where they are one."""
    return " / ".join(dict.fromkeys(halves["best"]))


def summary(found: Found) -> str:
    """Say how auto does over all domains, and at every load."""
    levels = shares_by_level(found["concurrency"])
    shares = ", ".join(f"{share.median:.0%} at {level}" for level, (_, share) in levels.items())
    choice, gain = overall(found["domains"])
    return f"""One prompt at a time, auto is {gain:.2f} times as fast over all domains as the best single fixed choice
that gives the same text ({choice}). With several requests at once it has this share of the best fixed
choice's speed (medians of pairs of one round): {shares}."""

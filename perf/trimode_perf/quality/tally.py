"""Counts over answers: how many are right, what they cost, how long the accepted runs are. And ratios of counts."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from ..common.ask import Answer
from ..common.prompts import Prompt

SUMMED = ("asked", "exact", "same_as_autoregressive", "tokens", "forwards", "cycles")
Counts = dict[str, Any]


def by_domain(
    prompts: Sequence[Prompt], answers: Sequence[Answer], right: Sequence[list[int] | None], reference: Sequence[Answer]
) -> dict[str, Counts]:
    """Return the counts of every domain.

    Args:
        right: the token ids of each prompt's only right reply, its end included; None where there is none.
        reference: the autoregressive answers to the same prompts.
    """
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        rows[prompt.domain].append(index)
    found = {}
    for domain, indices in rows.items():
        counts = costs([answers[i] for i in indices])
        checkable = right[indices[0]] is not None
        counts["exact"] = sum(answers[i].chunk.token_ids == right[i] for i in indices) if checkable else None
        counts["same_as_autoregressive"] = sum(same(answers[i], reference[i]) for i in indices)
        if domain in PARSERS:
            counts["parsed"] = sum(PARSERS[domain](answers[i].chunk.text) for i in indices)
        found[domain] = counts
    return found


def same(one: Answer, other: Answer) -> bool:
    """Whether two answers have the same tokens."""
    return one.chunk.token_ids == other.chunk.token_ids


def costs(answers: Iterable[Answer]) -> Counts:
    """Return answers, tokens, passes, cycles, and how many cycles gave how many tokens (where that was recorded)."""
    counts: Counter[str] = Counter()
    runs: Counter[int] = Counter()
    for answer in answers:
        counters = answer.chunk.counters
        counts.update(asked=1, tokens=len(answer.chunk.token_ids), forwards=counters.forwards, cycles=counters.cycles)
        runs.update(answer.runs)
    found: Counts = {name: counts[name] for name in ("asked", "tokens", "forwards", "cycles")}
    return {**found, "accepted": {str(size): runs[size] for size in sorted(runs)}} if runs else found


def total(domains: dict[str, Counts], names: Iterable[str]) -> Counts:
    """Return the sums over the domains `names`, and `accuracy`, the mean of their shares of right answers."""
    chosen = [domains[name] for name in names]
    summed: Counts = {key: sum(counts[key] for counts in chosen) for key in SUMMED}
    runs: Counter[str] = Counter()
    for counts in chosen:
        runs.update(counts.get("accepted", {}))
    shares = [counts["exact"] / counts["asked"] for counts in chosen]
    summed["accuracy"] = round(sum(shares) / len(shares), 5) if shares else 0.0
    return {**summed, "accepted": dict(sorted(runs.items(), key=lambda item: int(item[0])))} if runs else summed


def per_forward(counts: Counts) -> float:
    """Tokens per forward after the prefill, as the product's counter has it."""
    return counts["tokens"] / counts["forwards"] if counts["forwards"] else 0.0


def per_cycle(counts: Counts) -> float:
    """Tokens that a draft and its verification give, the mean of `accepted`: published acceptance lengths.

    Unlike the product's counter it leaves out an answer's first token, which the prefill gives.
    """
    runs: dict[str, int] = counts["accepted"]
    return sum(int(size) * number for size, number in runs.items()) / sum(runs.values())


def together(entries: Iterable[Counts]) -> Counts:
    """Return the tokens, bytes and nats of several texts together, and their perplexity."""
    every = list(entries)
    tokens, size, nats = (sum(entry[name] for entry in every) for name in ("tokens", "bytes", "nats"))
    return {"tokens": tokens, "bytes": size, "nats": round(nats, 3), "perplexity": round(math.exp(nats / tokens), 4)}


def bits_per_byte(entry: Counts) -> float:
    """Bits of a byte of text, which vocabularies of other sizes can be compared by."""
    return float(entry["nats"] / math.log(2) / entry["bytes"])


def _parses(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except (SyntaxError, ValueError):
        return False
    return True


def _is_python(text: str) -> bool:
    """Whether `text`, without the fence around it, is something Python can compile; nothing of it is run."""
    source = text.strip().removeprefix("```python").removesuffix("```")
    return bool(source.strip()) and _parses(partial(compile, filename="reply", mode="exec", dont_inherit=True), source)


PARSERS: dict[str, Callable[[str], bool]] = {"to_json": partial(_parses, json.loads), "function": _is_python}
"""Domains whose replies have a grammar of their own."""

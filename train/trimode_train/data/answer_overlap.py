"""Whether held-out prompts and answers are among those that a run on a model's own answers learns from.

Prompts are compared as text, answers as ids, whole conversations by n-grams of ids. Knows no models.
"""

from __future__ import annotations

from collections import Counter
from itertools import takewhile
from typing import Any

import numpy as np

from .answered import Answered
from .ngrams import Ids, Ngrams


def shared_start(answers: list[Answered]) -> int:
    """Return how many ids all conversations begin with: the system prompt and the template's first marks."""
    columns = zip(*(one.ids for one in answers), strict=False)  # up to the end of the shortest
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def _longest(answers: list[Answered]) -> list[Answered]:
    """Return each prompt's conversation with its last turn, in the order of the first ones."""
    last: dict[str, Answered] = {}
    for one in answers:
        if one.text not in last or one.turn > last[one.text].turn:
            last[one.text] = one
    return list(last.values())


def seen_prompts(training: list[Answered], held_out: list[Answered]) -> set[str]:
    """Return the held-out prompts that are in a prompt of training, whole or as a part of it."""
    everything = "\0".join({one.text for one in training})
    return {one.text for one in held_out if one.text in everything}


def by_domain(training: list[Answered], held_out: list[Answered], n: int) -> dict[str, dict[str, int]]:
    """Count for each kind of prompt: prompts and replies asked and seen, n-grams held out and seen.

    Replies of both turns count. What all conversations begin with belongs to no n-gram. Training's whole conversations
    are compared, so what a held-out prompt shares with an answer counts too.
    """
    start, conversations = shared_start([*training, *held_out]), _longest(held_out)

    def own(one: Answered) -> Ids:
        return np.array(one.ids[start:], dtype=np.uint16)

    ngrams = Ngrams([own(one) for one in conversations], n)
    for one in training:
        ngrams.show(own(one))
    prompts, replies = seen_prompts(training, held_out), {tuple(one.reply) for one in training}
    result: dict[str, Counter[str]] = {}
    for number, one in enumerate(conversations):
        shown = ngrams.shown(number)
        result.setdefault(one.kind, Counter()).update(
            asked=1, prompts_seen=int(one.text in prompts), replies=0, replies_seen=0,
            ngrams=len(shown), ngrams_seen=int(shown.sum()),
        )  # fmt: skip
    for one in held_out:
        result[one.kind].update(replies=1, replies_seen=int(tuple(one.reply) in replies))
    return {kind: dict(counts) for kind, counts in result.items()}


def counts_of(training: list[Answered], held_out: list[Answered], n: int) -> dict[str, Any]:
    """Return what overlap.json says of a run on answers, but for its recipe: how much it has, and `domains`."""
    return {
        "documents": len(training),
        "tokens": sum(len(one.ids) for one in training),
        "n": n,
        "domains": by_domain(training, held_out, n),
    }

"""Held-out questions of every domain, and the loss on code; scores are those of `scores.py`."""

from __future__ import annotations

from random import Random

import torch
from torch.nn import functional as F

from trimode_train.corpus import Corpus, draw
from trimode_train.model import Model, causal_bias, grouped_attention
from trimode_train.packing import Document
from trimode_train.scores import (
    MAX_NEW,
    Question,
    Score,
    by_domain,
    greedy_matches,
    score_autoregressive,
    score_diffusion,
    score_self_speculation,
)
from trimode_train.tasks import TASKS

__all__ = [
    "MAX_NEW",
    "Question",
    "Score",
    "by_domain",
    "code_loss",
    "greedy_matches",
    "questions",
    "score_autoregressive",
    "score_diffusion",
    "score_self_speculation",
]


def questions(corpus: Corpus, per_domain: int, seed: int) -> list[Question]:
    """The same held-out questions for the same seed."""
    rng = Random(f"held-out {seed}")
    return [Question(name, corpus.chat([], draw(rng, True, name))) for name in TASKS for _ in range(per_domain)]


@torch.no_grad()
def code_loss(model: Model, documents: list[Document]) -> float:
    """Mean next-token cross-entropy on stretches of code, in nats a token."""
    total, count = 0.0, 0
    for document in documents:
        ids = torch.tensor([document.ids], device=model.device)
        length = ids.shape[1]
        positions = torch.arange(length, device=model.device)[None]
        logits = model(ids, positions, grouped_attention(causal_bias(length, length, model.device)))[0][0]
        total += float(F.cross_entropy(logits[:-1], ids[0, 1:], reduction="sum"))
        count += length - 1
    return total / max(count, 1)

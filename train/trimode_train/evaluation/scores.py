"""How well a model answers questions: exact match per domain, tokens per forward, tokens per cycle.

Knows tokenized questions; knows nothing about where they come from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch

from ..data.packing import Document
from ..model.model import Model, causal_bias, grouped_attention
from .decode import Decoded, diffusion

MAX_NEW = 160  # longer than any reply of the tasks


@dataclass(frozen=True)
class Question:
    """A held-out conversation, tokenized, with its only right reply."""

    domain: str
    document: Document

    @property
    def prompt(self) -> list[int]:
        """Ids up to where the reply begins."""
        return self.document.ids[: self.document.start]

    @property
    def reply(self) -> list[int]:
        """Ids of the right reply and its end."""
        return self.document.ids[self.document.start :]


@torch.no_grad()
def greedy_matches(model: Model, asked: list[Question], batch: int = 32) -> list[bool]:
    """Whether greedy decoding gives exactly the right reply, for each question.

    Decided in one causal pass: greedy text equals the reply if and only if each of its tokens is the argmax after the
    ones before it.
    """
    matches = []
    for i in range(0, len(asked), batch):
        documents = [q.document for q in asked[i : i + batch]]
        length = max(len(d.ids) for d in documents)
        ids = torch.tensor([d.ids + [0] * (length - len(d.ids)) for d in documents])
        ids = ids.to(model.device)  # (batch, length)
        positions = torch.arange(length, device=model.device)[None].expand_as(ids)
        attend = grouped_attention(causal_bias(length, length, model.device))
        best = model(ids, positions, attend)[0].argmax(-1)  # (batch, length)
        for document, row in zip(documents, best.tolist(), strict=True):
            matches.append(row[document.start - 1 : len(document.ids) - 1] == document.ids[document.start :])
    return matches


@dataclass
class Score:
    """Sums over questions; the properties are what is reported."""

    asked: int = 0
    right: int = 0
    tokens: int = 0
    forwards: int = 0
    blocks: int = 0

    def add(self, right: bool, decoded: Decoded | None = None) -> None:
        """Count one question."""
        self.asked += 1
        self.right += right
        if decoded:
            self.tokens += len(decoded.ids)
            self.forwards += decoded.forwards
            self.blocks += decoded.blocks

    @property
    def exact(self) -> float:
        """Share answered exactly."""
        return self.right / max(self.asked, 1)

    @property
    def per_forward(self) -> float:
        """Tokens per forward after the prefill."""
        return self.tokens / max(self.forwards, 1)

    @property
    def per_block(self) -> float:
        """Tokens per block or cycle."""
        return self.tokens / max(self.blocks, 1)


def by_domain(asked: Iterable[Question], decode: Callable[[Question], tuple[bool, Decoded | None]]) -> dict[str, Score]:
    """Score every question, summed by domain and over all."""
    scores: dict[str, Score] = defaultdict(Score)
    for question in asked:
        right, decoded = decode(question)
        for key in (question.domain, "all"):
            scores[key].add(right, decoded)
    return dict(scores)


def score_autoregressive(model: Model, asked: list[Question]) -> dict[str, Score]:
    """Greedy exact match."""
    matches = iter(greedy_matches(model, asked))
    return by_domain(asked, lambda question: (next(matches), None))


def score_diffusion(model: Model, asked: list[Question], length: int, threshold: float = 0.9) -> dict[str, Score]:
    """Exact match and tokens per forward of block diffusion."""

    def one(question: Question) -> tuple[bool, Decoded]:
        decoded = diffusion(model, question.prompt, MAX_NEW, length, threshold)
        return decoded.ids == question.reply, decoded

    return by_domain(asked, one)

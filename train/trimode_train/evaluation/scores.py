"""How well a model answers held-out questions: exact match by domain, tokens per forward, tokens per cycle.

Knows questions as ids. Does not know how their texts are made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..data.packing import Document
from ..data.patches import Gallery, Pixels, cells_of
from ..model.config import IMAGE_PAD_ID
from ..model.model import Model, causal_bias, grouped_attention
from .decode import Decoded, Decodes, Seeing, diffusion

if TYPE_CHECKING:  # a machine that trains from an archive does not have what a corpus needs
    from ..data.corpus import Corpus

MAX_NEW = 160  # tokens of a reply; longer than any right one


@dataclass(frozen=True)
class Question:
    """A held-out conversation, tokenized, with its only right reply."""

    domain: str
    document: Document

    @property
    def prompt(self) -> list[int]:
        """The ids before the reply."""
        return self.document.ids[: self.document.start]

    @property
    def reply(self) -> list[int]:
        """The ids of the right reply, with its end token."""
        return self.document.ids[self.document.start :]


def questions(corpus: Corpus, per_domain: int, seed: int) -> list[Question]:
    """Return held-out questions of every domain; the same seed gives the same ones."""
    return [Question(*pair) for pair in corpus.held_out(per_domain, seed)]


@torch.no_grad()
def features_of(model: Model, pictures: tuple[Pixels, ...]) -> Tensor:
    """Return what the tower and the projector make of pictures, (cells, hidden) in their order."""
    largest = max(4 * across * down for across, down in map(cells_of, pictures))
    gallery = Gallery(len(pictures), largest)  # a row has room for any of them, so all find theirs
    cells = gallery.add(pictures)
    rows = (gallery.patches, gallery.places, gallery.picture)
    return model.encoder.features(*(torch.from_numpy(array).to(model.device) for array in rows))[cells]


def opened(model: Model, document: Document) -> Model | Decodes:
    """Return what a decoding loop takes for a document: the model, with the features of its pictures."""
    return Seeing(model, features_of(model, document.pictures)) if document.pictures else model


def _seen(model: Model, documents: list[Document], ids: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the features of all documents, and which of them each id (documents, length) takes."""
    pictures = tuple(pixels for document in documents for pixels in document.pictures)
    if not pictures:
        return None
    seeing = torch.tensor([bool(document.pictures) for document in documents], device=ids.device)
    pads = (ids == IMAGE_PAD_ID) & seeing[:, None]
    cell = torch.full_like(ids, -1)
    cell[pads] = torch.arange(int(pads.sum()), device=ids.device)
    return features_of(model, pictures), cell


@torch.no_grad()
def greedy_matches(model: Model, asked: list[Question], batch: int = 32) -> list[bool]:
    """Return for each question whether greedy decoding gives exactly the right reply.

    One causal pass decides it: greedy text equals the reply if and only if each token of the reply is the argmax after
    the tokens before it.
    """
    matches = []
    for i in range(0, len(asked), batch):
        documents = [q.document for q in asked[i : i + batch]]
        length = max(len(d.ids) for d in documents)
        ids = torch.tensor([d.ids + [0] * (length - len(d.ids)) for d in documents])
        ids = ids.to(model.device)  # (batch, length)
        positions = torch.arange(length, device=model.device)[None].expand_as(ids)
        attend = grouped_attention(causal_bias(length, length, model.device))
        best = model(ids, positions, attend, seen=_seen(model, documents, ids))[0].argmax(-1)  # (batch, length)
        for document, row in zip(documents, best.tolist(), strict=True):
            matches.append(row[document.start - 1 : len(document.ids) - 1] == document.ids[document.start :])
    return matches


@dataclass
class Score:
    """Sums over questions; its properties are reported."""

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
        """The share of questions answered exactly."""
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
    """Score the exact match of greedy decoding."""
    matches = iter(greedy_matches(model, asked))
    return by_domain(asked, lambda question: (next(matches), None))


def score_diffusion(model: Model, asked: Iterable[Question], length: int, threshold: float = 0.9) -> dict[str, Score]:
    """Score the exact match and the tokens per forward of block diffusion."""

    def one(question: Question) -> tuple[bool, Decoded]:
        decoded = diffusion(opened(model, question.document), question.prompt, MAX_NEW, length, threshold)
        return decoded.ids == question.reply, decoded

    return by_domain(asked, one)

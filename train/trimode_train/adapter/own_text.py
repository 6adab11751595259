"""Documents whose replies are the model's own greedy text, which its drafts try to guess.

A reply is kept up to the first token that the model would not have written; from there the model writes, many documents
at a time. Knows nothing about the adapter.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.corpus import Corpus
from ..data.packing import Document
from ..model.config import EOS_ID
from ..model.model import HIDDEN, Model, Past, causal_bias, grouped_attention


@dataclass(frozen=True)
class OwnText:
    """A pool of documents, used as a corpus."""

    documents: list[Document]

    def document(self, rng: Random) -> Document:
        """Draw a document of the pool."""
        return rng.choice(self.documents)


@torch.no_grad()
def rewrite(model: Model, documents: list[Document], max_tokens: int, batch: int = 64) -> list[Document]:
    """Return the same prompts with the model's greedy replies; a document ends at `max_tokens` tokens.

    Documents are returned in another order, because those of similar length are written together.
    """
    kept: list[Document] = []
    begun: list[Document] = []
    documents = sorted(documents, key=lambda d: len(d.ids))
    for i in range(0, len(documents), batch):
        part = documents[i : i + batch]
        best, _ = _prefill(model, [d.ids for d in part])
        for document, row in zip(part, best.argmax(-1).tolist(), strict=True):
            ids, start = document.ids, document.start
            wrong = next((k for k in range(start, len(ids)) if row[k - 1] != ids[k]), None)
            if wrong is None:
                kept.append(document)
            else:
                begun.append(Document([*ids[:wrong], row[wrong - 1]], start, document.closed))
    begun.sort(key=lambda d: len(d.ids))
    for i in range(0, len(begun), batch):
        kept += _write(model, begun[i : i + batch], max_tokens)
    return [d for d in kept if len(d.ids) > d.start + 1]


def _prefill(model: Model, texts: list[list[int]]) -> tuple[Tensor, Past]:
    """Return logits (texts, longest, vocab), and keys and values, of texts padded at their ends."""
    longest = max(map(len, texts))
    ids = torch.tensor([text + [EOS_ID] * (longest - len(text)) for text in texts], device=model.device)
    positions = torch.arange(longest, device=model.device)[None].expand_as(ids)
    return model(ids, positions, grouped_attention(causal_bias(longest, longest, model.device)))


def _write(model: Model, documents: list[Document], max_tokens: int) -> list[Document]:
    """Continue each document greedily until its end token or `max_tokens` tokens."""
    texts = [list(d.ids) for d in documents]
    lengths = torch.tensor([len(text) for text in texts], device=model.device)
    logits, past = _prefill(model, texts)
    longest = logits.shape[1]
    padding = torch.arange(longest, device=model.device) >= lengths[:, None]  # (texts, longest)
    bias = torch.zeros(padding.shape, device=model.device).masked_fill_(padding, HIDDEN)[:, None, None]
    token = logits[torch.arange(len(texts)), lengths - 1].argmax(-1)  # (texts,)
    for step in range(max_tokens - min(map(len, texts))):
        for text, t in zip(texts, token.tolist(), strict=True):
            if text[-1] != EOS_ID and len(text) < max_tokens:
                text.append(t)
        if all(text[-1] == EOS_ID or len(text) == max_tokens for text in texts):
            break
        bias = F.pad(bias, (0, 1))  # the new token is visible
        logits, new = model(token[:, None], (lengths + step)[:, None], grouped_attention(bias), past)
        past = [
            (torch.cat([k, nk], dim=2), torch.cat([v, nv], dim=2)) for (k, v), (nk, nv) in zip(past, new, strict=True)
        ]
        token = logits[:, -1].argmax(-1)
    return [Document(text, d.start, closed=text[-1] == EOS_ID) for text, d in zip(texts, documents, strict=True)]


def own_text(model: Model, corpus: Corpus, count: int, seed: int) -> OwnText:
    """Return `count` documents of the corpus, rewritten by the model; the same seed gives the same ones."""
    rng = Random(f"{seed} own text")
    return OwnText(rewrite(model, [corpus.document(rng) for _ in range(count)], corpus.max_tokens))

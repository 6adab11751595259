"""Batches of drafts of a frozen model: clean texts, whose keys and values are the base's, and noisy blocks after them.

The blocks are laid out as linear and as quadratic speculation draft. Knows ids; knows nothing about models or losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from ..data.packing import Document
from .recipe import DraftOptions

CLEAN_STEP = 64
"""Clean texts are padded to a multiple of so many tokens."""


@dataclass(frozen=True)
class Block:
    """A draft after `seed`, the position of the last token that is known; it is verified from seed + `first` on.

    A linear draft sees its seed as a token of its own block, which sees the masks too. A `causal` one, of quadratic
    speculation, follows the seed's causal keys and values; its first mask stands where the next token is known.
    """

    seed: int
    length: int
    causal: bool

    @property
    def start(self) -> int:
        """The position of the block's first token: clean tokens before it are seen."""
        return self.seed + self.causal

    @property
    def first(self) -> int:
        """The position of the first token that is drafted and verified."""
        return self.seed + 1 + self.causal


@dataclass(frozen=True)
class DraftBatch:
    """Documents with blocks. `drafts` are indices into the flattened noisy and clean tokens, (drafts, places)."""

    clean: Tensor  # (documents, C), padded
    lengths: list[int]  # of the clean texts
    noisy: Tensor  # (documents, N)
    positions: Tensor  # (documents, N) of the noisy tokens
    sees: Tensor  # (documents, N, C + N), True where a noisy token sees a clean or a noisy one
    drafted: Tensor  # (drafts, places): the noisy token
    teacher: Tensor  # (drafts, places): the clean token before it, whose causal row predicts it
    target: Tensor  # (drafts, places): the text's own token there
    real: Tensor  # (drafts, places), False where the block or its text has ended

    @property
    def tokens(self) -> int:
        """Noisy tokens."""
        return self.noisy.numel()


def chosen(document: Document, rng: Random, options: DraftOptions) -> list[Block]:
    """Return blocks anywhere in a reply, together of at most `options.tokens` tokens."""
    room, found = options.tokens, list[Block]()
    while True:
        causal = rng.random() < options.causal
        length = rng.choice(options.causal_lengths) if causal else rng.choices(options.lengths, options.odds)[0]
        if length > room:
            return found
        last = len(document.ids) - 2 - causal  # of the seeds after which there is something to verify
        found.append(Block(rng.randint(min(document.start - causal, last), last), length, causal))
        room -= length


def lay_out(documents: list[Document], blocks: list[list[Block]], mask: int) -> DraftBatch:
    """Lay documents and their blocks out; a row with fewer noisy tokens is filled with masks that see each other."""
    width = max(sum(block.length for block in own) for own in blocks)
    longest = max(len(document.ids) for document in documents)
    room = -(-longest // CLEAN_STEP) * CLEAN_STEP
    places = max(block.length for own in blocks for block in own)
    clean = torch.zeros(len(documents), room, dtype=torch.long)
    noisy = torch.full((len(documents), width), mask)
    positions, number = torch.zeros_like(noisy), torch.zeros_like(noisy)
    limit = torch.ones_like(noisy)
    drafts: list[tuple[list[int], list[int], list[int]]] = []  # noisy, teacher and target of each block
    for row, (document, own) in enumerate(zip(documents, blocks, strict=True)):
        clean[row, : len(document.ids)] = torch.tensor(document.ids)
        at = 0
        for index, block in enumerate(own, start=1):
            span = slice(at, at + block.length)
            positions[row, span] = torch.arange(block.start, block.start + block.length)
            number[row, span], limit[row, span] = index, block.start
            if not block.causal:
                noisy[row, at] = document.ids[block.seed]
            there = range(block.first, min(block.start + block.length, len(document.ids)))
            here = [row * width + at + position - block.start for position in there]
            before = [row * room + position - 1 for position in there]
            drafts.append((here, before, [document.ids[position] for position in there]))
            at += block.length
    before_limit = torch.arange(room) < limit[..., None]  # (documents, N, C)
    together = number[:, :, None] == number[:, None, :]  # (documents, N, N)

    def table(column: int) -> Tensor:
        rows = [draft[column] for draft in drafts]
        return torch.tensor([[*row, *[0] * (places - len(row))] for row in rows])

    counts = torch.tensor([len(draft[0]) for draft in drafts])
    return DraftBatch(
        *(
            clean,
            [len(document.ids) for document in documents],
            noisy,
            positions,
            torch.cat([before_limit, together], dim=-1),
        ),
        *(table(0), table(1), table(2)),
        torch.arange(places) < counts[:, None],
    )


def draft_batch(documents: list[Document], rng: Random, options: DraftOptions, mask: int) -> DraftBatch:
    """Draw a batch: documents of similar length, so that little is padded, and blocks in them.

    `documents` are in the order of their lengths. The same random state gives the same batch.
    """
    start = rng.randrange(max(1, len(documents) - 4 * options.documents))
    near = documents[start : start + 4 * options.documents]
    picked = rng.sample(near, min(options.documents, len(near)))
    return lay_out(picked, [chosen(one, rng, options) for one in picked], mask)

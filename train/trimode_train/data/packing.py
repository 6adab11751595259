"""Lays documents out as [noisy | clean] rows: which ids, positions, targets and weights, and which token sees which.

Numpy on ids. Knows nothing about text, models or optimisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..model.config import EOS_ID, IMAGE_BREAK_ID, IMAGE_END_ID, IMAGE_PAD_ID, IMAGE_START_ID, MASK_ID
from .patches import Gallery, PictureRows, Pixels

Ints = npt.NDArray[np.int64]
IMAGE_IDS = frozenset((IMAGE_START_ID, IMAGE_PAD_ID, IMAGE_BREAK_ID, IMAGE_END_ID))


@dataclass(frozen=True)
class Document:
    """One conversation or stretch of code. `ids[start:]` is the reply (for chats, with its <|im_end|>).

    The ids of a picture stand in the prompt where it is; `pictures` are the pixels, in their order.
    """

    ids: list[int]
    start: int
    closed: bool = True  # the reply ends here, so a block that covers more is padded with end-of-text
    pictures: tuple[Pixels, ...] = ()


class Documents(Protocol):
    """Where documents come from: made when they are asked for (`Corpus`), or drawn before (`ArchiveCorpus`)."""

    def document(self, rng: Random) -> Document:
        """Draw a document; the same random state gives the same one."""
        ...


@dataclass(frozen=True)
class NoiseOptions:
    """How the noisy half is made. Probabilities are in [0, 1]."""

    block_lengths: tuple[int, ...] = (32, 16, 8)
    block_odds: tuple[float, ...] = (0.6, 0.25, 0.15)
    shifted: float = 0.4  # documents whose blocks start somewhere inside the reply, as after an accepted draft
    all_masked: float = 0.45  # blocks in the state of the first denoising pass
    span_masked: float = 0.0  # blocks with one gap between known sides, as in infilling
    seed_masked: float = 0.05  # blocks whose first token, known at inference, is noised like the others
    min_ratio: float = 0.05
    min_span_ratio: float = 0.15
    diffusion_weight: float = 0.3
    padding_weight: float = 1.0  # of the positions after the end; below 1 the model learns to run on
    wrong_weight: float = 0.0  # added for masked tokens that it would reveal wrongly: a reveal is final
    second_look: bool = False  # every other step sees the last batch again, with its surest tokens revealed
    prompt_weight: float = 0.1  # of the next-token loss on prompts, whose facts are random by construction


@dataclass(frozen=True)
class Batch:
    """Rows of equal length. All arrays are (rows, length); weight 0 means that no loss is taken there."""

    ids: Ints
    positions: Ints
    document: Ints  # number inside the row, -1 for filling
    block: Ints  # number inside the row for noisy tokens, 0 for clean ones
    limit: Ints  # clean tokens of the document are visible when their position is below this
    targets: Ints
    weights: npt.NDArray[np.float32]
    pictures: PictureRows | None = None  # of a model that sees


class Marks(NamedTuple):
    """The ids of the mask and of the token that ends a reply."""

    mask: int
    end: int


FAMILY_MARKS = Marks(MASK_ID, EOS_ID)


class _Row:
    """One row being filled."""

    def __init__(self, length: int, marks: Marks) -> None:
        self.marks = marks
        self.columns: list[list[int]] = [[] for _ in range(6)]  # ids, positions, document, block, limit, targets
        self.weights: list[float] = []
        self.length, self.blocks = length, 0
        self.documents: list[Document] = []
        self.cells: dict[int, int] = {}  # of a place of the row that takes a feature, the cell's number in the batch

    @property
    def room(self) -> int:
        """Tokens still free."""
        return self.length - len(self.weights)

    def add(
        self, number: int, block: int, ids: list[int], positions: range, limits: list[int], targets: list[int]
    ) -> None:
        """Append tokens of the row's document `number`; the caller appends their weights."""
        n = len(ids)
        added = (ids, positions, [number] * n, [block] * n, limits, targets)
        for column, values in zip(self.columns, added, strict=True):
            column.extend(values)


def block_starts(document: Document, length: int, shift: int) -> list[int]:
    """Return where the noisy blocks of a reply start: each has its seed and at least one token to predict."""
    return list(range(document.start + shift, len(document.ids) - 1, length))


@dataclass(frozen=True)
class Planned:
    """A document with the blocks chosen for it, before it is put into a row."""

    document: Document
    blocks: list[tuple[int, int]]  # (start, end) in document positions; the end may lie beyond a closed reply

    @property
    def size(self) -> int:
        """Tokens it takes in a row: the clean copy and the noisy blocks."""
        return len(self.document.ids) + sum(end - start for start, end in self.blocks)


def plan(document: Document, rng: Random, options: NoiseOptions, room: int) -> Planned:
    """Choose block length, shift and blocks; drop random blocks if not all fit into `room` tokens."""
    length = rng.choices(options.block_lengths, options.block_odds)[0]
    shift = rng.randrange(length) if rng.random() < options.shifted else 0
    end = len(document.ids)
    blocks = [
        (start, start + length if document.closed else min(start + length, end))
        for start in block_starts(document, length, shift)
    ]
    while blocks and len(document.ids) + sum(e - s for s, e in blocks) > room:
        blocks.pop(rng.randrange(len(blocks)))
    return Planned(document, blocks)


def _hidden(n: int, rng: Random, options: NoiseOptions) -> tuple[list[bool], float]:
    """Which of a block's n positions are masked, and the p of the loss's 1/p."""
    state = rng.random()
    if state < options.span_masked and n > 2:
        size = rng.randint(1, n - 2)
        start = rng.randint(1, n - 1 - size)  # at least one token stays known on either side
        return [start <= i < start + size for i in range(n)], max(size / n, options.min_span_ratio)
    all_masked = state < options.span_masked + options.all_masked
    ratio = 1.0 if all_masked else options.min_ratio + (1 - options.min_ratio) * rng.random()
    keep_seed = rng.random() >= options.seed_masked
    return [rng.random() < ratio and not (i == 0 and keep_seed) for i in range(n)], ratio


def _add_block(row: _Row, number: int, start: int, stop: int, rng: Random, options: NoiseOptions) -> None:
    """Append a noisy copy of positions start..stop of a document that is in the row or is about to be."""
    ids, n = row.documents[number].ids, stop - start
    row.blocks += 1
    true = [ids[i] if i < len(ids) else row.marks.end for i in range(start, stop)]
    hidden, ratio = _hidden(n, rng, options)
    shown = [row.marks.mask if h else token for token, h in zip(true, hidden, strict=True)]
    row.add(number, row.blocks, shown, range(start, stop), [start] * n, true)
    weight = options.diffusion_weight / ratio
    beyond = weight * options.padding_weight
    row.weights += [(weight if start + i < len(ids) else beyond) if h else 0.0 for i, h in enumerate(hidden)]


def _place(row: _Row, planned: Planned, cells: list[int], rng: Random, options: NoiseOptions) -> None:
    """Append a document: its noisy blocks, then its clean copy, whose pictures have these cells."""
    document, number = planned.document, len(row.documents)
    row.documents.append(document)
    for start, stop in planned.blocks:
        _add_block(row, number, start, stop, rng, options)
    end, first = len(document.ids), len(row.weights)
    row.add(number, 0, document.ids, range(end), list(range(1, end + 1)), [*document.ids[1:], 0])
    row.weights += [_clean_weight(document, i, options) for i in range(end - 1)] + [0.0]
    if document.pictures:
        pads = (first + i for i, token in enumerate(document.ids) if token == IMAGE_PAD_ID)
        row.cells.update(zip(pads, cells, strict=True))


def _clean_weight(document: Document, place: int, options: NoiseOptions) -> float:
    """Return the weight of predicting the token after `place`; a picture's places say nothing."""
    if place + 1 >= document.start:
        return 1.0
    return 0.0 if document.pictures and document.ids[place + 1] in IMAGE_IDS else options.prompt_weight


def _fill(row: _Row, rng: Random, options: NoiseOptions) -> None:
    """Fill the rest of a row with more noisy blocks of its documents, whose clean copies are in the row anyway."""
    while fitting := [length for length in options.block_lengths if length <= row.room]:
        number = rng.randrange(len(row.documents))
        document = row.documents[number]
        start = rng.randrange(document.start, max(document.start + 1, len(document.ids) - 1))
        stop = start + rng.choice(fitting)
        if not document.closed and stop > len(document.ids):
            stop = len(document.ids)
        _add_block(row, number, start, stop, rng, options)


@dataclass(frozen=True)
class Shape:
    """The shape of a batch: rows of tokens, and rows of patches for a model that sees, 0 for another."""

    rows: int = 32
    row_length: int = 256
    patch_rows: int = 0
    patch_length: int = 64


def pack(
    planned: list[Planned], shape: Shape, rng: Random, options: NoiseOptions, marks: Marks = FAMILY_MARKS
) -> Batch:
    """Pack into rows, largest document first; leave out what does not fit, text or pictures."""
    length = shape.row_length
    open_rows = [_Row(length, marks) for _ in range(shape.rows)]
    gallery = Gallery(shape.patch_rows, shape.patch_length)
    for item in sorted(planned, key=lambda p: -p.size):
        row = next((row for row in open_rows if item.size <= row.room), None)
        if row is not None and (cells := gallery.add(item.document.pictures)) is not None:
            _place(row, item, cells, rng, options)
    for row in open_rows:
        if row.documents:
            _fill(row, rng, options)
    fill = (marks.end, 0, -1, 0, 1, 0)
    ids, positions, document, block, limit, targets = (
        np.array([row.columns[c] + [fill[c]] * row.room for row in open_rows], dtype=np.int64) for c in range(6)
    )
    weights = np.array([row.weights + [0.0] * row.room for row in open_rows], dtype=np.float32)
    pictures = gallery.rows(_pads(open_rows)) if shape.patch_rows else None
    return Batch(ids, positions, document, block, limit, targets, weights, pictures)


def _pads(rows: list[_Row]) -> Ints:
    pads = np.full((len(rows), rows[0].length), -1, dtype=np.int64)
    for number, row in enumerate(rows):
        pads[number, list(row.cells)] = list(row.cells.values())
    return pads

"""An archive: documents drawn before a run, with recipe, tokenizer and questions, in a file that numpy alone can read.

It is a zip with LZMA of `ids.npy`, `lengths.npy`, `starts.npy`, `closed.npy`, `recipe.json`, `tokenizer.json` and
`questions.json`. Documents are sorted, so that similar ones compress together; batches draw them at random, each with
the same probability, and noise them again each time. Does not know where documents come from.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt

from .packing import Document, Documents
from .recipe import Recipe

_ARRAYS = ("ids", "lengths", "starts", "closed")

CHUNK = 2000
"""Documents drawn from one random state; fixed, so that an archive does not depend on how many processes draw it."""


@dataclass(frozen=True)
class ArchiveCorpus:
    """Documents that were drawn before the run."""

    ids: npt.NDArray[np.uint16]  # (tokens,), one document after the other
    lengths: npt.NDArray[np.uint16]  # (documents,)
    starts: npt.NDArray[np.uint16]  # (documents,), where the reply begins
    closed: npt.NDArray[np.bool_]  # (documents,)

    @cached_property
    def ends(self) -> npt.NDArray[np.int64]:
        """Where each document ends in `ids`, (documents,)."""
        return np.cumsum(self.lengths, dtype=np.int64)

    @classmethod
    def of(cls, documents: list[Document]) -> ArchiveCorpus:
        """Keep documents. Raises ValueError for an id that does not fit into uint16, and for pictures."""
        if any(document.pictures for document in documents):
            raise ValueError("an archive holds no pictures: train a recipe with pictures.share without one")
        ids = np.array([i for d in documents for i in d.ids])
        if ids.max(initial=0) > np.iinfo(np.uint16).max:
            raise ValueError(f"id {ids.max()}: an archive holds ids up to {np.iinfo(np.uint16).max}")
        return cls(
            ids.astype(np.uint16),
            np.array([len(d.ids) for d in documents], np.uint16),
            np.array([d.start for d in documents], np.uint16),
            np.array([d.closed for d in documents], np.bool_),
        )

    @classmethod
    def joined(cls, parts: list[ArchiveCorpus]) -> ArchiveCorpus:
        """Put the documents of all parts together, sorted by their ids."""
        ids, lengths, starts, closed = (np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS)
        ends = np.cumsum(lengths, dtype=np.int64)
        data, begins = ids.astype(">u2").tobytes(), ends - lengths  # big-endian, so that bytes sort as ids do
        keys = [data[2 * begin : 2 * end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        together = np.frombuffer(b"".join(keys[i] for i in order), ">u2").astype(np.uint16)
        return cls(together, lengths[order], starts[order], closed[order])

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> Document:
        end = int(self.ends[number])
        ids = self.ids[end - int(self.lengths[number]) : end].tolist()
        return Document(ids, int(self.starts[number]), bool(self.closed[number]))

    def document(self, rng: Random) -> Document:
        """Draw a document; the same random state gives the same one."""
        return self[rng.randrange(len(self))]


@dataclass(frozen=True)
class Archive:
    """Everything that a run needs and that the machine which trains cannot make."""

    recipe: Recipe
    corpus: ArchiveCorpus
    tokenizer: str  # the text of tokenizer.json
    questions: list[tuple[str, Document]]  # a domain and a held-out conversation

    def save(self, path: Path) -> None:
        """Write a file next to `path`, then rename it to `path`."""
        questions = [{"domain": domain, "ids": d.ids, "start": d.start} for domain, d in self.questions]
        texts = {
            "recipe.json": json.dumps(dataclasses.asdict(self.recipe), indent=2),
            "tokenizer.json": self.tokenizer,
            "questions.json": json.dumps(questions),
        }
        temporary = path.with_suffix(".tmp")
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_LZMA) as file:
            for name, text in texts.items():
                file.writestr(name, text)
            for name in _ARRAYS:
                with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.save(member, getattr(self.corpus, name), allow_pickle=False)
        os.replace(temporary, path)

    @classmethod
    def load(cls, path: Path) -> Archive:
        """Read a file that `save` wrote."""
        with zipfile.ZipFile(path) as file:
            arrays = []
            for name in _ARRAYS:
                with file.open(f"{name}.npy") as member:
                    arrays.append(np.load(member, allow_pickle=False))
            return cls(
                Recipe.of(json.loads(file.read("recipe.json")), path.name),
                ArchiveCorpus(*arrays),
                file.read("tokenizer.json").decode(),
                [(q["domain"], Document(q["ids"], q["start"])) for q in json.loads(file.read("questions.json"))],
            )


def draw_chunk(number: int, corpus: Documents, seed: int, documents: int) -> ArchiveCorpus:
    """Draw the first `documents` documents of the archive's chunk `number`."""
    rng = Random(f"{seed} archive {number}")
    return ArchiveCorpus.of([corpus.document(rng) for _ in range(documents)])


_corpus: Documents  # of a worker process


def _begin(corpus: Documents) -> None:
    global _corpus
    _corpus = corpus


def _drawn(number: int, seed: int, documents: int) -> ArchiveCorpus:
    return draw_chunk(number, _corpus, seed, documents)


def draw_documents(corpus: Documents, seed: int, documents: int, workers: int = 1) -> Iterator[ArchiveCorpus]:
    """Draw documents chunk by chunk; the result does not depend on the number of processes."""
    sizes = [min(CHUNK, documents - begin) for begin in range(0, documents, CHUNK)]
    if workers <= 1:
        yield from (draw_chunk(number, corpus, seed, size) for number, size in enumerate(sizes))
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (corpus,)) as pool:
        yield from pool.map(_drawn, range(len(sizes)), [seed] * len(sizes), sizes)

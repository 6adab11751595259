"""Batches in the order of their numbers, made before the step that needs them. Knows nothing about models.

A batch depends on the seed and its number alone, so neither the number of workers nor a pause changes what a run sees.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from random import Random
from types import TracebackType

from .packing import Batch, Documents, Marks, Planned, pack, plan
from .recipe import Recipe


def batch_rng(number: int, recipe: Recipe) -> Random:
    """Return the random state that a batch is drawn with."""
    return Random(f"{recipe.seed} batch {number}")


def plans(rng: Random, corpus: Documents, recipe: Recipe) -> Iterator[Planned]:
    """Yield the documents of a batch with the blocks chosen for them; a few of them will not fit into it."""
    size = 0
    while size < recipe.data.rows * recipe.data.row_length:
        planned = plan(corpus.document(rng), rng, recipe.noise, recipe.data.row_length)
        size += planned.size
        yield planned


def batch_for(number: int, corpus: Documents, recipe: Recipe) -> Batch:
    """Make a batch; it depends on the seed and its number only."""
    rng = batch_rng(number, recipe)
    marks = Marks(recipe.model.mask_id, recipe.model.eos_id)
    return pack(list(plans(rng, corpus, recipe)), recipe.data, rng, recipe.noise, marks)


_work: tuple[Documents, Recipe]  # of a worker process


def _begin(corpus: Documents, recipe: Recipe) -> None:
    """Set up a worker process. It ends when its parent ends, and ignores Ctrl-C, at which the parent saves."""
    global _work
    _work = corpus, recipe
    os.setsid()
    if multiprocessing.parent_process() is not None:
        threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _made(number: int) -> Batch:
    return batch_for(number, *_work)


class Batches:
    """Use as a context manager; `next()` returns the batches, starting with number `first`."""

    def __init__(self, corpus: Documents, recipe: Recipe, first: int) -> None:
        self.pool: Executor
        self.make: Callable[[int], Batch]
        if recipe.workers:
            spawn = multiprocessing.get_context("spawn")  # never a copy of a process that uses a GPU
            self.pool = ProcessPoolExecutor(recipe.workers, spawn, _begin, (corpus, recipe))
            self.make = _made
        else:
            self.pool = ThreadPoolExecutor(1)
            self.make = lambda number: batch_for(number, corpus, recipe)
        self.number = first
        self.coming: deque[Future[Batch]] = deque()
        for _ in range(max(1, 2 * recipe.workers)):
            self._submit()

    def _submit(self) -> None:
        self.coming.append(self.pool.submit(self.make, self.number))
        self.number += 1

    def __next__(self) -> Batch:
        """Return the next batch, and start to make another."""
        batch = self.coming.popleft().result()
        self._submit()
        return batch

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.shutdown(cancel_futures=True)

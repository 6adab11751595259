"""Every way to attend at every shape: compared with the right answer first, then timed. Knows no files, no processes.

As many layers are timed together as hold more keys and values than a GPU's second cache does, up to 8B's own, so that
each is read from memory, as in a pass.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ...common.statistics import Spread
from ..device import Device
from ..needs import Unavailable
from .problem import Heads, Problem, Shape, error
from .variants import VARIANTS

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
"""Largest relative RMS error of a token's answer: weights and answers are rounded to the type."""
READ_BYTES = 1 << 28
"""Bytes of keys and values that a timed call reads, as far as layers and memory go; no second cache holds as many."""
MOST_LAYERS = 34
"""Layers of 8B, and of a timed call at most: of one row of 1024 entries they read 143 MB, as in a pass of 8B."""
SHARE_OF_FREE = 0.6
"""What of the free memory a shape's cache may take."""
REPEATS = (5, 30)  # at least and at most
TRIAL = 2  # calls from which the number of repetitions follows

Place = tuple[str, int, int, int]
"""A variant, rows, tokens, entries of the longest row."""


class SpoiledError(Exception):
    """What failed has ended this process's CUDA; another process can go on."""


@dataclass(frozen=True)
class Work:
    """What is asked.

    Attributes:
        heads: of queries, keys and values.
        capacity: entries of a row that the cache has room for.
        rows, tokens, lengths: of shapes, in every combination.
        seconds: of repetitions of one call.
    """

    heads: Heads = field(default_factory=Heads)
    capacity: int = 32768
    rows: Sequence[int] = (1, 8)
    tokens: Sequence[int] = (1, 8, 32)
    lengths: Sequence[int] = (1024, 8192, 32768)
    seconds: float = 0.2

    def shapes(self) -> list[Shape]:
        """Return the shapes; those of the same tokens and rows follow each other, as these are compiled for."""
        return [Shape(rows, tokens, length) for rows in self.rows for tokens in self.tokens for length in self.lengths]

    def read_bytes(self, shape: Shape, item: int) -> int:
        """Return the bytes of a layer's keys and values that the rows have, of `item` bytes a number."""
        return 2 * sum(shape.lengths()) * self.heads.keys * self.heads.size * item

    def layers(self, shape: Shape, item: int, free: int) -> int:
        """Return how many layers are timed together; none if one does not fit into `free` bytes."""
        wanted = -(-READ_BYTES // self.read_bytes(shape, item))
        one = 2 * shape.rows * self.capacity * self.heads.keys * self.heads.size * item
        return min(wanted, MOST_LAYERS, int(SHARE_OF_FREE * free) // one)


TINY_WORK = Work(Heads(4, 2, 16), 80, rows=(1, 3), tokens=(1, 5), lengths=(33, 70), seconds=0.005)
"""What a rehearsal asks: odd shapes, so that no block ends where a row does."""


def place(name: str, shape: Shape) -> Place:
    """Return what a row is known by."""
    return name, shape.rows, shape.tokens, shape.length


def measure(names: Sequence[str], work: Work, device: Device, done: Collection[Place] = ()) -> Iterator[dict[str, Any]]:
    """Yield a row for each way and shape that is not in `done`: its milliseconds, or what `failed` or was `skipped`.

    A way that cannot run here at all gives one row without a shape: where none of its shapes ran before.

    Raises:
        SpoiledError: after the row of what failed, if nothing else can run in this process.
    """
    torch.set_float32_matmul_precision("highest")  # the right answer is float32's
    for name in names:
        ran = any(place(name, shape) in done for shape in work.shapes())
        for shape in work.shapes():
            if place(name, shape) in done:
                continue
            try:
                row = _row(name, shape, work, device)
            except Unavailable as exc:
                if not ran and not device.spoiled():
                    yield {"variant": name, "skipped": str(exc)}
                    break
                row = _failure(exc.__cause__ or exc)
            except torch.cuda.OutOfMemoryError:
                row = {"skipped": "the device ran out of memory"}
            except Exception as exc:  # whatever a compiler or kernel raises must not cost the others' results
                row = _failure(exc)
            yield {"variant": name, **asdict(shape), **row}
            if "failed" in row and device.spoiled():
                raise SpoiledError
            ran = ran or "skipped" not in row
            gc.collect()


def _failure(exc: BaseException) -> dict[str, Any]:
    return {"failed": f"{type(exc).__name__}: {str(exc).strip().partition(chr(10))[0]}"}


def _row(name: str, shape: Shape, work: Work, device: Device) -> dict[str, Any]:
    item = device.dtype.itemsize
    layers = work.layers(shape, item, device.free_bytes()) if device.is_gpu else 2
    if not layers:
        return {"skipped": f"a cache of {shape.rows} rows of {work.capacity} entries does not fit"}
    problem = Problem(shape, work.heads, work.capacity, device, layers)
    attend = VARIANTS[name](problem)
    (*_, last) = problem.each_layer()
    away = error(attend(*last), problem.answer())
    if not away <= TOLERANCE[problem.dtype]:
        return {"failed": f"a relative error of {away:.1e}, at most {TOLERANCE[problem.dtype]:g}"}

    def run() -> None:
        for query, keys, values in problem.each_layer():
            attend(query, keys, values)

    replay = device.captured(run)
    first = min(device.time(replay, TRIAL))
    least, most = REPEATS
    repeats = max(least, min(most, int(1000 * work.seconds / max(first, 1e-3))))
    times = asdict(Spread.of([taken / layers for taken in device.time(replay, repeats)]))
    return {
        "milliseconds": {key: round(value, 5) for key, value in times.items()},
        "layers": layers,
        "repeats": repeats,
        "error": float(f"{away:.2e}"),
        "lengths": problem.lengths,
        "capacity": work.capacity,
        "bytes": work.read_bytes(shape, item),
    }

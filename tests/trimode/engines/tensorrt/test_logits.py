"""The store of a TensorRT engine's logits: which rows lie where, until when, and what is set aside. On a fake GPU."""

from __future__ import annotations

import ctypes
import dataclasses
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from trimode.engines.base import Row
from trimode.engines.tensorrt.buffers import Buffers
from trimode.engines.tensorrt.cuda import Cuda, Pitched
from trimode.engines.tensorrt.layout import Shape
from trimode.engines.tensorrt.logits import LogitsStore
from trimode.engines.window import Window
from trimode.errors import EngineError

from tests.support.toy import manifest

VOCAB = 4
ROWS = 3  # of logits, for each row of the batch
WINDOW = Window(Shape(0, 0, 2, ROWS, ROWS, 64), {1: 0, 0: 1}, [0, 0])
"""The first row runs in line 1 of the batch, the second in line 0."""


class Host:
    """Implements what the store asks of `Cuda`, with the host's memory as the GPU's."""

    def __init__(self) -> None:
        self.waited = 0

    def use(self) -> None:
        pass

    def wait(self) -> None:
        self.waited += 1

    def download(self, target: int, source: int, size: int) -> None:
        ctypes.memmove(target, source, size)

    def move_box(self, target: Pitched, source: Pitched, extent: tuple[int, int, int]) -> None:
        ctypes.memmove(target.address, source.address, extent[0] * extent[1])


class Bench:
    """A store, the GPU's memory, and a call whose logits count up from a first number."""

    def __init__(self) -> None:
        self.gpu, self.kept = np.zeros((2 * ROWS, VOCAB), np.float32), np.zeros((2 * ROWS, VOCAB), np.float32)
        page = np.zeros(self.gpu.nbytes, np.uint8)
        buffers = Buffers(0, 0, self.gpu.ctypes.data, self.kept.ctypes.data, page, page, page, self.kept.nbytes)
        self.host = Host()
        self.store = LogitsStore(cast(Cuda, self.host), buffers, dataclasses.replace(manifest(), vocab_size=VOCAB))

    def run(self, first: int, rows: list[Row]) -> list[Any]:
        self.gpu[:] = np.arange(first, first + self.gpu.size).reshape(self.gpu.shape)
        ids = np.arange(2 * ROWS, dtype=np.int32).reshape(2, ROWS)
        call: Any = SimpleNamespace(top_id=ids, top_prob=ids.astype(np.float32))
        return list(self.store.results(call, WINDOW, rows))


def row(want: int) -> Row:
    return Row(0, np.arange(ROWS), 0, "causal", np.arange(want), keep=True)


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.store.begin_run()
    return made


def test_a_row_has_the_choices_and_logits_of_its_line(bench: Bench) -> None:
    one, two = bench.run(0, [row(1), row(2)])
    assert (one.top_id.tolist(), two.top_id.tolist()) == ([3], [0, 1])
    assert one.logits.tolist() == [[12, 13, 14, 15]]
    assert two.logits.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_nothing_is_copied_for_a_row_that_asks_for_nothing(bench: Bench) -> None:
    assert bench.run(0, [row(0), row(0)])[0].logits.shape == (0, VOCAB)
    assert bench.host.waited == 0


def test_the_next_call_writes_over_logits(bench: Bench) -> None:
    one, _ = bench.run(0, [row(1), row(1)])
    bench.run(100, [row(1), row(1)])
    with pytest.raises(EngineError, match="the logits of call 1 are gone: 2 calls have run"):
        _ = one.logits


def test_logits_set_aside_outlive_the_runs_other_calls_but_not_the_run(bench: Bench) -> None:
    rows = [row(1), row(2)]
    one, two = bench.run(0, rows)
    bench.store.set_aside(WINDOW, rows, [one, two])
    bench.run(100, rows)
    assert bench.kept[:3].tolist() == [[12, 13, 14, 15], [0, 1, 2, 3], [4, 5, 6, 7]]
    assert two.logits.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    bench.store.begin_run()
    with pytest.raises(EngineError, match="the logits of run 1 are gone: 2 runs have begun"):
        _ = one.logits
    assert two.logits.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]  # fetched in time


def test_each_run_sets_aside_from_the_beginning(bench: Bench) -> None:
    for first in (0, 100):
        bench.store.begin_run()
        rows = [row(1), row(0)]
        bench.store.set_aside(WINDOW, rows, bench.run(first, rows))
    assert bench.kept[0].tolist() == [112, 113, 114, 115]
    assert not bench.kept[1:].any()


def test_what_there_is_no_room_for_on_the_gpu_is_set_aside_on_the_host(bench: Bench) -> None:
    """As for a quadratic pass, which has many more rows of logits than a block."""
    rows = [row(3), row(2)]
    kept = []
    for first in (0, 100):
        results = bench.run(first, rows)
        bench.store.set_aside(WINDOW, rows, results)
        kept += results
    bench.run(200, rows)
    assert bench.kept[:5].tolist() == [[c, c + 1, c + 2, c + 3] for c in (12, 16, 20, 0, 4)]
    assert [one.logits[0, 0] for one in kept] == [12, 0, 112, 100]

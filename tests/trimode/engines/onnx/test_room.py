"""Room: one memory for the calls of all shapes, and what an engine holds after calls of many shapes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trimode.engines.base import Row
from trimode.engines.onnx import engine as engine_module
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode.engines.onnx.room import Room

NONE = np.zeros(0, dtype=np.int64)
SLACK = 8 * 2**20
"""Bytes for everything that is not an array of a call: inputs of MAX_BINDINGS shapes, and Python's own objects."""


@pytest.fixture
def engine(parity_kit: Path, bundle_of: Callable[..., Path]) -> OnnxRuntimeEngine:
    bundle = bundle_of(parity_kit / "checkpoints" / "plain")
    return OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=8)


def test_arrays_of_a_room_are_the_same_memory_until_it_grows() -> None:
    room = Room()
    assert room.grow((2, 3)) and not room.grow((3, 2)) and not room.grow((8,))
    first, second = room.array((2, 3)), room.array((3, 2))
    first[:] = 7
    assert (second == 7).all()
    assert room.grow((9,)) and room.size == 16 * 4
    assert (room.array((9,)) == 0).all()


def odd_slots(engine: OnnxRuntimeEngine, start: int) -> list[int]:
    """Slots that are not neighbours, with `start` tokens each, so that their call needs a gathered copy."""
    slots = [engine.allocate(block=False) for _ in range(7)]
    for slot in slots:
        engine.run([Row(slot, np.full(start, 5), 0, "causal", NONE, keep=True)])
    return slots[::2]


def test_calls_of_many_shapes_hold_no_more_than_the_largest(engine: OnnxRuntimeEngine) -> None:
    tracemalloc.start()
    try:
        slots = odd_slots(engine, 100)
        for size in range(1, 80):
            engine.run([Row(slots[0], np.full(size, 5), 100, "causal", np.arange(size), keep=False)])
            engine.run([Row(slot, np.full(size, 5), 100, "block", np.arange(size), keep=False) for slot in slots])
            engine.run([Row(slot, np.full(size, 5), 100, "block", np.arange(size), keep=False) for slot in slots[:2]])
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    lanes = sum(array.nbytes for array in engine._slots._arrays.values())
    rooms = [engine._logits, engine._new, engine._gathered]
    assert held < lanes + sum(room.size for room in rooms) + SLACK
    assert engine._gathered.size <= 2 * lanes


def test_as_many_shapes_stay_bound_as_are_allowed(engine: OnnxRuntimeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "MAX_BINDINGS", 3)
    slot = engine.allocate(block=False)
    for size in (8, 1, 2, 3, 1, 4):
        engine.run([Row(slot, np.full(size, 5), 0, "causal", NONE, keep=False)])
    assert [key[1] for key in engine._bindings] == [3, 1, 4]


def test_a_call_that_makes_the_rooms_grow_leaves_earlier_shapes_right(engine: OnnxRuntimeEngine) -> None:
    slots = odd_slots(engine, 5)
    small = [Row(slot, np.array([5, 9]), 5, "block", np.arange(2), keep=False) for slot in slots]
    before = [result.logits.copy() for result in engine.run(small)]
    engine.run([Row(slot, np.full(90, 5), 5, "block", np.arange(90), keep=False) for slot in slots])
    for result, logits in zip(engine.run(small), before, strict=True):
        np.testing.assert_array_equal(result.logits, logits)

"""Passes with a mask, positions and an adapter of their own give what plain passes give for each of their parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from trimode.decoding.quadratic_pass import QuadraticPass
from trimode.decoding.quadratic_shape import QuadraticShape
from trimode.engines.base import Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine

from tests.support.arrays import Array, assert_close

PROMPT = np.array([5, 17, 23, 42, 8], dtype=np.int64)
DRAFT = np.array([9, 33, 51, 12], dtype=np.int64)
START = len(PROMPT)
LENGTH = len(DRAFT)


@pytest.fixture(scope="module", params=["plain", "yarn"])
def engine(request: pytest.FixtureRequest, parity_kit: Path, bundle_of: Callable[..., Path]) -> OnnxRuntimeEngine:
    bundle = bundle_of(parity_kit / "checkpoints" / request.param)
    return OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=2)


def logits(engine: OnnxRuntimeEngine, *rows: Row) -> list[Array]:
    return [result.logits.copy() for result in engine.run(rows)]


def causal(slot: int, tokens: Array, start: int) -> Row:
    return Row(slot, tokens, start, "causal", np.arange(len(tokens)), keep=True)


def quadratic(engine: OnnxRuntimeEngine, slot: int, *, adapter: bool) -> tuple[QuadraticPass, Row]:
    layout = QuadraticPass.of(QuadraticShape.official(LENGTH), LENGTH)
    tokens = np.where(layout.is_mask, engine.manifest.mask_token_id, 0)
    tokens[:LENGTH] = DRAFT
    adapted = layout.is_mask if adapter else False
    positions = START + layout.offsets
    return layout, Row(slot, tokens, START, layout.sees, layout.want, True, adapted, positions, LENGTH)


@pytest.mark.parametrize("adapter", [False, True])
def test_heads_and_groups_are_the_passes_that_they_stand_for(engine: OnnxRuntimeEngine, adapter: bool) -> None:
    slot, mask = engine.allocate(block=True), engine.manifest.mask_token_id
    logits(engine, causal(slot, PROMPT, 0))
    layout, row = quadratic(engine, slot, adapter=adapter)
    whole = logits(engine, row)[0]
    assert_close(whole[:LENGTH], logits(engine, causal(slot, DRAFT, START))[0])
    block = np.full(LENGTH, mask, dtype=np.int64)
    for group in range(LENGTH):  # the masks of a group are a block over the draft up to its head
        alone = Row(slot, block, START + group + 1, "block", np.arange(1, LENGTH), keep=False, adapter=adapter)
        assert_close(whole[layout.drafted(group)], logits(engine, alone)[0])
    engine.free(slot)


def test_only_the_leading_tokens_stay_whatever_else_was_in_the_pass(engine: OnnxRuntimeEngine) -> None:
    one, two = engine.allocate(block=True), engine.allocate(block=True)
    for slot in (one, two):
        logits(engine, causal(slot, PROMPT, 0))
    logits(engine, quadratic(engine, one, adapter=True)[1])
    logits(engine, causal(two, DRAFT, START))
    following = np.array([7, 3], dtype=np.int64)
    after, expected = (logits(engine, causal(slot, following, START + LENGTH))[0] for slot in (one, two))
    assert_close(after, expected)
    engine.free(one)
    engine.free(two)


def test_beside_a_longer_row_nothing_changes(engine: OnnxRuntimeEngine) -> None:
    one, two = engine.allocate(block=True), engine.allocate(block=True)
    logits(engine, causal(one, PROMPT, 0))
    row = quadratic(engine, one, adapter=True)[1]
    alone = logits(engine, row)[0]
    together = logits(engine, row, causal(two, np.arange(3, 43), 0))[0]
    assert_close(together, alone)
    engine.free(one)
    engine.free(two)

"""Random calls give what the ONNX Runtime engine gives, whichever way the torch engine batches them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode.decoding.quadratic_pass import QuadraticPass
from trimode.decoding.quadratic_shape import QuadraticShape
from trimode.engines.base import Engine, Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode.engines.torch import memory, windows
from trimode.engines.torch.engine import TorchEngine
from trimode.errors import EngineError

from tests.support import checkpoints, llama_checkpoints
from tests.torch.conftest import Linked, Opened

SLOTS, LONG = 6, 250
"""Slots, and entries up to which the random calls fill them."""


class Twins:
    """The same slots on both engines; every call is run on both and compared."""

    def __init__(self, *engines: Engine) -> None:
        self.engines = engines
        self.taken: list[list[int]] = []
        self.largest = 0.0
        self.compared = 0

    def take(self, *, block: bool = False) -> int:
        self.taken.append([engine.allocate(block=block) for engine in self.engines])
        return len(self.taken) - 1

    def place(self, slot: int, *, block: bool) -> None:
        for engine, taken in zip(self.engines, self.taken[slot], strict=True):
            engine.place(taken, block=block)

    def free(self, slot: int) -> None:
        for engine, taken in zip(self.engines, self.taken[slot], strict=True):
            engine.free(taken)

    def run(self, *rows: Row) -> None:
        ours, theirs = (
            engine.run([row._replace(slot=self.taken[row.slot][which]) for row in rows])
            for which, engine in enumerate(self.engines)
        )
        self.compared += any(len(other.logits) for other in theirs)
        for own, other in zip(ours, theirs, strict=True):
            if not len(other.logits):
                continue
            for ids in (other.top_id, (other.top_id + 1) % other.logits.shape[1]):  # logits still on the device
                np.testing.assert_allclose(own.log_probs_of(ids), other.log_probs_of(ids), rtol=1e-5, atol=1e-4)
            largest = np.abs(other.logits).max()
            far = np.abs(own.logits - other.logits).max() / largest
            assert far <= 1e-5, f"{far} of the largest logit"
            self.largest = max(self.largest, far)
            np.testing.assert_array_equal(own.top_id, other.top_id)
            np.testing.assert_allclose(own.top_prob, other.top_prob, rtol=1e-3, atol=1e-6)


@pytest.fixture(scope="module")
def on_onnx(parity_kit: Path, bundle_of: Callable[..., Path]) -> Callable[[str], OnnxRuntimeEngine]:
    def open_engine(name: str) -> OnnxRuntimeEngine:
        bundle = bundle_of(parity_kit / "checkpoints" / name)
        return OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=SLOTS)

    return open_engine


def anchored(engine: TorchEngine) -> TorchEngine:
    """Batch and remember as on a GPU, where every pass of the fixed list is captured before the first request."""
    manifest = engine.manifest
    engine._windows = windows.Windows(engine._cache, manifest.capacity, block=manifest.block_size)
    with engine.device.active():
        engine._executor.capture(engine._windows.fixed())
    return engine


def row(slot: int, tokens: Any, start: int = 0, sees: Any = "causal", **more: Any) -> Row:
    ids = np.asarray(tokens, dtype=np.int64)
    return Row(slot, ids, start, sees, **{"want": np.arange(len(ids)), "keep": True, **more})


def quadratic(slot: int, start: int, length: int, mask: int, *, adapter: bool) -> Row:
    layout = QuadraticPass.of(QuadraticShape.official(length), length)
    tokens = np.where(layout.is_mask, mask, 0)
    tokens[:length] = np.arange(101, 101 + length)
    more: dict[str, Any] = {"want": layout.want, "positions": start + layout.offsets, "leading": length}
    return row(slot, tokens, start, layout.sees, adapter=layout.is_mask if adapter else False, **more)


def own_mask(rng: np.random.Generator, size: int) -> Any:
    return (rng.random((size, size)) < 0.5) | np.eye(size, dtype=bool)


def random_row(rng: np.random.Generator, slot: int, held: int) -> Row | None:
    size = int(rng.choice([1, 1, 1, 2, 5, 8, 20, 32, 40]))
    start = int(rng.integers(max(0, held - 6), held + 1))
    if start + size > LONG:
        return None
    keep = bool(rng.random() < 0.6)
    want = np.sort(rng.permutation(size)[: rng.integers(0, size + 1)])
    sees: Any = rng.choice(["causal", "block"]) if not keep or rng.random() < 0.2 else "causal"
    sees = str(sees)
    more: dict[str, Any] = {}
    if rng.random() < 0.15:
        sees = own_mask(rng, size)
        more["positions"] = start + rng.integers(0, size, size)
        more["leading"] = int(rng.integers(0, size + 1)) if keep else None
    adapter = bool(rng.random() < 0.5) if rng.random() < 0.7 else rng.random(size) < 0.5
    return row(slot, rng.integers(101, 128, size), start, sees, keep=keep, want=want, adapter=adapter, **more)


@pytest.mark.parametrize(
    ("name", "like_a_gpu", "calls", "margin"),
    [
        ("plain", False, 500, windows.MARGIN),
        ("plain", True, 200, windows.MARGIN),
        ("plain", False, 100, 0),
        ("yarn", False, 100, windows.MARGIN),
        ("wide", True, 100, 40),
    ],
)
def test_random_calls(
    name: str,
    like_a_gpu: bool,
    calls: int,
    margin: int,
    opened: Opened,
    on_onnx: Callable[[str], OnnxRuntimeEngine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Slots come and go and change sides; rows of all kinds, rolled back, kept or not, in every combination.

    With less of a margin, passes that are not kept set a slot's entries aside, and put them back.
    """
    for module in (windows, memory):
        monkeypatch.setattr(module, "MARGIN", margin)
    engine = opened(name, max_slots=SLOTS)
    twins = Twins(anchored(engine) if like_a_gpu else engine, on_onnx(name))
    rng = np.random.default_rng(calls + like_a_gpu)
    live: dict[int, int] = {}
    while twins.compared < calls:
        if len(live) < SLOTS and rng.random() < 0.4:
            live[twins.take(block=bool(rng.random() < 0.5))] = 0
        if live and rng.random() < 0.1:
            twins.place(int(rng.choice(list(live))), block=bool(rng.random() < 0.5))
        if live and rng.random() < 0.05:
            gone = int(rng.choice(list(live)))
            del live[gone]
            twins.free(gone)
        chosen = rng.permutation(list(live))[: rng.integers(1, len(live) + 1)].tolist() if live else []
        rows = [one for slot in chosen if (one := random_row(rng, slot, live[slot])) is not None]
        for one in rows:
            if one.keep:
                live[one.slot] = one.start + one.stored
        if rows:
            twins.run(*rows)
    assert engine.calls > calls / 2


@pytest.mark.parametrize("length", [2, 5, 8, 16])
@pytest.mark.parametrize("adapter", [False, True])
def test_a_quadratic_pass(
    length: int, adapter: bool, opened: Opened, on_onnx: Callable[[str], OnnxRuntimeEngine]
) -> None:
    """Masks, positions and an adapter of their own; only the heads stay."""
    twins = Twins(opened("plain", max_slots=SLOTS), on_onnx("plain"))
    mask = twins.engines[0].manifest.mask_token_id
    slots = [twins.take(block=True) for _ in range(2)]
    for slot in slots:
        twins.run(row(slot, [60, 7, 7, 91, 12, 3]))
    twins.run(*(quadratic(slot, 6, length, mask, adapter=adapter) for slot in slots))
    for slot in slots:
        twins.run(row(slot, [8, 3], 7))


@pytest.mark.parametrize("sees", ["causal", "block", np.eye(5, dtype=bool)], ids=["causal", "block", "own"])
def test_a_pass_that_is_not_kept_leaves_no_trace_anywhere_in_the_capacity(
    sees: Any, opened: Opened, on_onnx: Callable[[str], OnnxRuntimeEngine]
) -> None:
    twins = Twins(opened("plain"), on_onnx("plain"))
    capacity = twins.engines[0].manifest.capacity
    slot = twins.take()
    text = np.random.default_rng(0).integers(101, 128, capacity - 1)
    twins.run(row(slot, text, want=np.array([capacity - 2])))
    twins.run(row(slot, [9, 33, 100, 100, 51], capacity - 6, sees, keep=False))
    twins.run(row(slot, [8], capacity - 1))
    (own,) = twins.taken
    with pytest.raises(EngineError, match=rf"a sequence of {capacity + 1} tokens exceeds the engine's capacity of"):
        twins.engines[0].run([row(own[0], [8, 9], capacity - 1)])


def test_entries_travel_between_slots(opened: Opened, on_onnx: Callable[[str], OnnxRuntimeEngine]) -> None:
    twins = Twins(opened("plain"), on_onnx("plain"))
    one, two = twins.take(), twins.take(block=True)
    twins.run(row(one, [60, 7, 7, 91, 12, 3]))
    for which, engine in enumerate(twins.engines):
        for start, count in ((0, 1), (1, 4), (5, 0)):
            page = engine.copy_out(twins.taken[one][which], start, count)
            engine.copy_in(twins.taken[two][which], start, page)
    twins.run(row(two, [8], 5))


def test_a_causal_model_drafts_the_same_with_its_masks_embedding(
    tmp_path: Path, linked: Linked, bundle_of: Callable[..., Path]
) -> None:
    folder = llama_checkpoints.write_llama(tmp_path / "llama")
    mask = llama_checkpoints.SPARE
    checkpoints.write_adapter(folder / "linear_spec_lora", llama_checkpoints.settings(), 4, mask=mask)
    ours = TorchEngine.open(linked(folder), threads=1, spin=False, max_slots=SLOTS)
    theirs = OnnxRuntimeEngine.open(bundle_of(folder), threads=1, spin=False, max_slots=SLOTS)
    try:
        twins = Twins(ours, theirs)
        slot = twins.take()
        twins.run(row(slot, [5, 9, mask, 31], keep=True, want=np.arange(4)))
        for adapter in (False, True):
            twins.run(row(slot, [8, mask, mask, 40], 4, "block", adapter=adapter, want=np.arange(4)))
            twins.run(quadratic(slot, 4, 3, mask, adapter=adapter))
        assert twins.compared == 5
    finally:
        ours.close()
        theirs.close()

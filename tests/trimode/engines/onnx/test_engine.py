"""The ONNX Runtime engine over a real bundle: rows do not touch each other, masks mean what they say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from trimode.bundle.manifest import MANIFEST
from trimode.engines.base import Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode.engines.registry import warm_up
from trimode.errors import BundleError, EngineError

from tests.support.arrays import Array, assert_close, close

PROMPTS = [[5, 17, 23, 42], [60, 7, 7, 91, 12, 3], [30], [88, 61, 4, 5, 19]]
BLOCK = [9, 33, 100, 100, 51]


@pytest.fixture(scope="module")
def bundle(parity_kit: Path, bundle_of: Callable[..., Path]) -> Path:
    return bundle_of(parity_kit / "checkpoints" / "plain")


@pytest.fixture(scope="module")
def engine(bundle: Path) -> OnnxRuntimeEngine:
    return OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=4)


@pytest.fixture
def slots(engine: OnnxRuntimeEngine) -> Iterator[Callable[[bool], int]]:
    taken: list[int] = []

    def take(block: bool = False) -> int:
        taken.append(engine.allocate(block=block))
        return taken[-1]

    yield take
    for slot in taken:
        engine.free(slot)


Slots = Callable[..., int]


def row(slot: int, tokens: Sequence[int], start: int = 0, sees: str | Array = "causal", **more: bool) -> Row:
    ids = np.array(tokens, dtype=np.int64)
    more = {"keep": True, **more}
    return Row(slot, ids, start, sees, np.arange(len(ids)), **more)  # type: ignore[arg-type]


def run(engine: OnnxRuntimeEngine, *rows: Row) -> list[Array]:
    return [result.logits.copy() for result in engine.run(rows)]


def alone(engine: OnnxRuntimeEngine, *rows: Row) -> list[Array]:
    return [run(engine, one)[0] for one in rows]


def test_a_batch_equals_its_rows_alone(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    taken = [slots() for _ in PROMPTS]
    rows = [row(slot, prompt, keep=False) for slot, prompt in zip(taken, PROMPTS, strict=True)]
    for together, single in zip(run(engine, *rows), alone(engine, *rows), strict=True):
        assert_close(together, single)


def test_rows_of_every_kind_share_a_call(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    taken = [slots(block=at > 1) for at in range(4)]
    for slot, prompt in zip(taken, PROMPTS, strict=True):
        run(engine, row(slot, prompt))
    lengths = [len(prompt) for prompt in PROMPTS]
    rows = [
        row(taken[0], [8], lengths[0], keep=False),
        row(taken[1], BLOCK, lengths[1], "block", keep=False, adapter=True),
        row(taken[2], BLOCK, lengths[2], "block", keep=False),
        row(taken[3], BLOCK[:3], lengths[3], keep=False),
    ]
    for together, single in zip(run(engine, *rows), alone(engine, *rows), strict=True):
        assert_close(together, single)


def test_lanes_that_are_not_neighbours_give_the_same(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    taken = [slots() for _ in PROMPTS]
    for slot, prompt in zip(taken, PROMPTS, strict=True):
        run(engine, row(slot, prompt))
    rows = [row(taken[at], BLOCK, len(PROMPTS[at]), "block", keep=False) for at in (3, 0)]
    for gathered, single in zip(run(engine, *rows), alone(engine, *rows), strict=True):
        assert_close(gathered, single)


def test_results_come_in_the_order_of_the_rows(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    rows = [row(slot, prompt, keep=False) for slot, prompt in zip([slots(), slots()], PROMPTS[:2], strict=True)]
    forward, backward = run(engine, *rows), run(engine, *reversed(rows))
    assert_close(forward[0], backward[1])
    assert_close(forward[1], backward[0])


def test_what_gathered_lanes_keep_goes_to_their_own_slots(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    taken = [slots() for _ in range(3)]
    run(engine, row(taken[2], PROMPTS[0]), row(taken[0], PROMPTS[1]))
    after = run(engine, row(taken[2], [8], 4, keep=False))[0]
    assert_close(after, run(engine, row(taken[1], [*PROMPTS[0], 8]))[0][-1:])


@pytest.mark.parametrize("sees", ["causal", "block"])
def test_a_pass_that_is_not_kept_leaves_no_trace(engine: OnnxRuntimeEngine, slots: Slots, sees: str) -> None:
    slot = slots()
    run(engine, row(slot, PROMPTS[0]))
    before = run(engine, row(slot, [8], 4, keep=False))[0]
    run(engine, row(slot, BLOCK, 4, sees, keep=False))
    np.testing.assert_array_equal(run(engine, row(slot, [8], 4, keep=False))[0], before)


def test_a_prompt_in_chunks_equals_the_prompt_at_once(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    one, two = slots(), slots()
    whole = run(engine, row(one, PROMPTS[1]))[0]
    chunks = [run(engine, row(two, PROMPTS[1][at : at + 2], at))[0] for at in (0, 2, 4)]
    assert_close(np.concatenate(chunks), whole)


def test_starting_earlier_rolls_back(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    one, two = slots(), slots()
    run(engine, row(one, [*PROMPTS[0], 70, 71]))
    rolled = run(engine, row(one, [9], 4))[0]
    assert_close(rolled, run(engine, row(two, [*PROMPTS[0], 9]))[0][-1:])


def test_a_slot_given_back_is_as_new(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    used = engine.allocate(block=False)
    run(engine, row(used, PROMPTS[1]))
    engine.free(used)
    again, fresh = slots(), slots()
    assert_close(*alone(engine, row(again, PROMPTS[0]), row(fresh, PROMPTS[0])))


@pytest.mark.parametrize(("name", "mask"), [("causal", np.tri(5, dtype=bool)), ("block", np.ones((5, 5), dtype=bool))])
def test_an_explicit_mask_equals_its_name(engine: OnnxRuntimeEngine, slots: Slots, name: str, mask: Array) -> None:
    slot = slots()
    run(engine, row(slot, PROMPTS[0]))
    rows = [row(slot, BLOCK, 4, sees, keep=False) for sees in (name, mask)]
    named, explicit = alone(engine, *rows)
    np.testing.assert_array_equal(named, explicit)


def test_a_token_nobody_sees_changes_nothing(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    slot = slots()
    hidden = np.ones((5, 5), dtype=bool)
    hidden[:4, 4] = False
    first, second = alone(engine, *(row(slot, [*BLOCK[:4], last], 0, hidden, keep=False) for last in (51, 52)))
    assert_close(first[:4], second[:4])
    assert not close(first[4], second[4])


def test_causal_and_block_differ(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    slot = slots()
    causal, block = alone(engine, *(row(slot, BLOCK, 0, sees, keep=False) for sees in ("causal", "block")))
    assert not close(causal[0], block[0])


def test_only_the_wanted_rows_come_back(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    slot = slots()
    whole = run(engine, row(slot, PROMPTS[1], keep=False))[0]
    ids = np.array(PROMPTS[1], dtype=np.int64)
    some = engine.run([Row(slot, ids, 0, "causal", np.array([4, 1]), keep=False)])[0].logits
    assert_close(some, whole[[4, 1]])


def test_a_row_may_want_nothing(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    slot = slots()
    ids = np.array(PROMPTS[0], dtype=np.int64)
    result = engine.run([Row(slot, ids, 0, "causal", np.zeros(0, dtype=np.int64), keep=True)])[0]
    assert result.logits.shape == (0, engine.manifest.vocab_size)


def test_the_adapter_changes_only_its_row(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    one, two = slots(), slots()
    plain = run(engine, row(one, BLOCK, 0, "block", keep=False))[0]
    with_adapter, without = run(
        engine, row(one, BLOCK, 0, "block", keep=False, adapter=True), row(two, BLOCK, 0, "block", keep=False)
    )
    assert_close(without, plain)
    assert not close(with_adapter, plain)


def test_growing_and_shrinking_keep_what_neighbours_hold(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    slot, long = slots(), engine.allocate(block=False)
    run(engine, row(slot, PROMPTS[0]))
    before = run(engine, row(slot, [8], 4, keep=False))[0]
    count = min(engine.manifest.buckets[0] + 1, engine.manifest.capacity)
    run(engine, row(long, [7] * count))
    assert_close(run(engine, row(slot, [8], 4, keep=False))[0], before)
    engine.free(long)
    assert_close(run(engine, row(slot, [8], 4, keep=False))[0], before)


def test_past_the_capacity_the_call_fails_and_the_engine_lives(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    slot = slots()
    run(engine, row(slot, PROMPTS[0]))
    before = run(engine, row(slot, [8], 4, keep=False))[0]
    with pytest.raises(EngineError, match="capacity"):
        engine.run([row(slot, [8], engine.manifest.capacity)])
    np.testing.assert_array_equal(run(engine, row(slot, [8], 4, keep=False))[0], before)


def test_calls_are_counted(engine: OnnxRuntimeEngine, slots: Slots) -> None:
    calls, seconds = engine.calls, engine.busy_seconds
    run(engine, row(slots(), [8]), row(slots(), [9]))
    assert engine.calls == calls + 1
    assert engine.busy_seconds > seconds


# Refusals


@pytest.fixture
def broken(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "broken"))


def refusal(bundle: Path) -> str:
    with pytest.raises(BundleError) as caught:
        OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=1)
    assert "trimode_convert" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("key", "value"), [("runtime", "tensorrt"), ("kv_form", "scatter")])
def test_a_bundle_for_another_runtime_is_refused(broken: Path, key: str, value: str) -> None:
    raw = json.loads((broken / MANIFEST).read_text())
    (broken / MANIFEST).write_text(json.dumps({**raw, key: value}))
    assert value in refusal(broken)


def test_a_corrupted_graph_is_refused(broken: Path) -> None:
    graph = broken / "model.onnx"
    graph.write_bytes(b"\x00" * graph.stat().st_size)
    assert "cannot be loaded" in refusal(broken)


def test_a_cut_graph_is_refused(broken: Path) -> None:
    graph = broken / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    assert "expected" in refusal(broken)


@pytest.mark.parametrize(
    ("key", "value"), [("num_layers", 1), ("vocab_size", 7), ("num_kv_heads", 1), ("adapter", False)]
)
def test_a_manifest_that_does_not_describe_the_graph_is_noticed_before_serving(
    broken: Path, key: str, value: object
) -> None:
    raw = json.loads((broken / MANIFEST).read_text())
    assert raw[key] != value
    (broken / MANIFEST).write_text(json.dumps({**raw, key: value}))
    with pytest.raises((BundleError, EngineError)):
        warm_up(OnnxRuntimeEngine.open(broken, threads=1, spin=False, max_slots=1))

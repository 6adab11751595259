"""Every call, and every page copied, gives what the ONNX Runtime engine gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trimode.decoding.quadratic_pass import QuadraticPass
from trimode.decoding.quadratic_shape import QuadraticShape
from trimode.engines.base import Engine, Row
from trimode.engines.onnx.engine import OnnxRuntimeEngine
from trimode.engines.tensorrt.engine import TensorRtEngine
from trimode.errors import EngineError

from tests.support.arrays import Array, assert_close
from tests.support.fake_cuda import FakeCuda
from tests.support.fake_gpu import make_bundle, open_engine

PROMPTS = [[5, 17, 23, 42], [60, 7, 7, 91, 12, 3], [30], [88, 61, 4, 5, 19]]
BLOCK = [9, 33, 100, 100, 51]


@pytest.fixture(scope="module")
def on_cpu(parity_kit: Path, bundle_of: Callable[..., Path]) -> OnnxRuntimeEngine:
    bundle = bundle_of(parity_kit / "checkpoints" / "plain")
    return OnnxRuntimeEngine.open(bundle, threads=1, spin=False, max_slots=4)


class Twins:
    """The same slots on both engines; every call is run on both and compared."""

    def __init__(self, *engines: Engine) -> None:
        self.engines = engines
        self.taken: list[list[int]] = []

    def take(self, *, block: bool = False) -> int:
        self.taken.append([engine.allocate(block=block) for engine in self.engines])
        return len(self.taken) - 1

    def run(self, *rows: Row) -> list[Array]:
        ours, theirs = (
            engine.run([row._replace(slot=self.taken[row.slot][which]) for row in rows])
            for which, engine in enumerate(self.engines)
        )
        for own, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(own.top_id, other.top_id)
            assert_close(own.top_prob, other.top_prob)
            assert_close(own.logits, other.logits)
        return [own.logits.copy() for own in ours]

    def close(self) -> None:
        for slots in self.taken:
            for engine, slot in zip(self.engines, slots, strict=True):
                engine.free(slot)


@pytest.fixture
def twins(engine: TensorRtEngine, on_cpu: OnnxRuntimeEngine) -> Iterator[Twins]:
    both = Twins(engine, on_cpu)
    yield both
    both.close()


def row(slot: int, tokens: Sequence[int], start: int = 0, sees: Any = "causal", **more: Any) -> Row:
    ids = np.array(tokens, dtype=np.int64)
    return Row(slot, ids, start, sees, **{"want": np.arange(len(ids)), "keep": True, **more})


def test_rows_of_every_kind_share_a_call(twins: Twins, engine: TensorRtEngine) -> None:
    taken = [twins.take(block=at > 1) for at in range(4)]
    for slot, prompt in zip(taken, PROMPTS, strict=True):
        twins.run(row(slot, prompt))
    lengths = [len(prompt) for prompt in PROMPTS]
    before = engine.calls
    twins.run(
        row(taken[3], BLOCK[:3], lengths[3], keep=False),
        row(taken[0], [8], lengths[0], keep=False),
        row(taken[1], BLOCK, lengths[1], "block", keep=False, adapter=True),
        row(taken[2], BLOCK, lengths[2], "block", keep=False),
    )
    assert engine.calls == before + 1
    for slot, prompt in zip(taken, PROMPTS, strict=True):
        twins.run(row(slot, [8], len(prompt)))


def test_lanes_between_the_rows_are_left_as_they_were(twins: Twins, engine: TensorRtEngine) -> None:
    taken = [twins.take() for _ in PROMPTS]
    for slot, prompt in zip(taken, PROMPTS, strict=True):
        twins.run(row(slot, prompt))
    before = engine.calls
    twins.run(row(taken[3], BLOCK, 5), row(taken[0], [8], 4))
    assert engine.calls == before + 1
    twins.run(row(taken[1], [8], 6), row(taken[2], [9], 1))


@pytest.mark.parametrize("sees", ["causal", "block", np.eye(5, dtype=bool)], ids=["causal", "block", "own"])
def test_a_pass_that_is_not_kept_leaves_no_trace(twins: Twins, sees: Any) -> None:
    slot = twins.take()
    twins.run(row(slot, PROMPTS[1]))
    twins.run(row(slot, BLOCK, 3, sees, keep=False))
    twins.run(row(slot, [8], 6))


def test_a_pass_that_is_not_kept_leaves_no_trace_where_the_capacity_ends(twins: Twins, engine: TensorRtEngine) -> None:
    slot = twins.take()
    text = np.random.default_rng(0).integers(101, 128, 255).tolist()
    twins.run(row(slot, text, want=np.array([254])))
    twins.run(row(slot, BLOCK, 250, "block", keep=False))
    twins.run(row(slot, [8], 255))
    with pytest.raises(EngineError, match="a sequence of 257 tokens exceeds the engine's capacity of 256"):
        engine.run([row(slot, [8, 9], 255)])


def test_a_neighbour_at_the_end_of_its_capacity_is_not_written_to(twins: Twins) -> None:
    one, full, other = (twins.take() for _ in range(3))
    twins.run(row(full, np.random.default_rng(1).integers(101, 128, 254).tolist(), want=np.zeros(0, np.int64)))
    twins.run(row(one, PROMPTS[0]), row(other, PROMPTS[1]))
    twins.run(row(full, [8, 9], 254))


def test_a_text_longer_than_any_profile_is_read_in_pieces(twins: Twins) -> None:
    slot = twins.take()
    text = np.random.default_rng(2).integers(101, 128, 200).tolist()
    twins.run(row(slot, text, want=np.array([3, 150, 199])))
    twins.run(row(slot, text))  # the logits of all of it, as a score asks for


def test_more_logits_than_a_profile_gives_are_given_in_turns(twins: Twins) -> None:
    slot = twins.take()
    twins.run(row(slot, PROMPTS[0]))
    twins.run(row(slot, [100] * 50, 4, "block", keep=False))


def test_a_block_longer_than_any_profile_is_refused_with_the_figures(twins: Twins, engine: TensorRtEngine) -> None:
    twins.take()
    with pytest.raises(EngineError, match=r"a pass of 65 tokens .* longest profile, prefill, holds 64"):
        engine.run([row(twins.taken[0][0], [100] * 65, 0, "block", keep=False)])


def test_more_rows_than_a_profile_holds_take_more_calls(gpu: FakeCuda, bundle: Path) -> None:
    wide = open_engine(bundle, max_slots=6)
    try:
        slots = [wide.allocate(block=False) for _ in range(6)]
        rows = [row(slot, [*PROMPTS[slot % 4], slot]) for slot in slots]
        together = [(r.top_id, r.logits) for r in wide.run(rows)]
        assert wide.calls == 2
        for one, (ids, logits) in zip(rows, together, strict=True):
            alone = wide.run([one])[0]
            np.testing.assert_array_equal(alone.top_id, ids)
            assert_close(alone.logits, logits)
    finally:
        wide.close()


def test_random_calls_equal_those_of_the_cpu(twins: Twins) -> None:
    """Slots come and go and change sides; rows of all kinds, rolled back, kept or not, in every combination."""
    rng = np.random.default_rng(3)
    live: dict[int, int] = {}
    for _ in range(120):
        if len(live) < 4 and rng.random() < 0.3:
            live[twins.take(block=bool(rng.random() < 0.5))] = 0
        if not live:
            continue
        if rng.random() < 0.1:
            slot = int(rng.choice(list(live)))
            for engine, taken in zip(twins.engines, twins.taken[slot], strict=True):
                engine.place(taken, block=bool(rng.random() < 0.5))
        rows = []
        for slot in rng.permutation(list(live))[: rng.integers(1, len(live) + 1)]:
            size = int(rng.choice([1, 1, 2, 5, 8, 20]))
            start = int(rng.integers(max(0, live[slot] - 6), live[slot] + 1))
            if start + size > 200:
                continue
            keep, want = bool(rng.random() < 0.6), np.sort(rng.permutation(size)[: rng.integers(0, size + 1)])
            sees = "causal" if keep or rng.random() < 0.3 else "block"
            tokens = rng.integers(101, 128, size).tolist()
            rows.append(row(slot, tokens, start, sees, keep=keep, want=want, adapter=bool(rng.random() < 0.5)))
            if keep:
                live[slot] = start + size
        if rows:
            twins.run(*rows)


def test_entries_travel_between_slots(twins: Twins, engine: TensorRtEngine) -> None:
    one, two = twins.take(), twins.take(block=True)
    twins.run(row(one, PROMPTS[1]))
    for which, own in enumerate(twins.engines):
        page = own.copy_out(twins.taken[one][which], 1, 4)
        first = own.copy_out(twins.taken[one][which], 0, 1)
        own.copy_in(twins.taken[two][which], 0, first)
        own.copy_in(twins.taken[two][which], 1, page)
    twins.run(row(two, [8], 5))
    assert engine.capacity == 64


def quadratic(slot: int, start: int, length: int, mask: int, *, adapter: bool) -> Row:
    layout = QuadraticPass.of(QuadraticShape.official(length), length)
    tokens = np.where(layout.is_mask, mask, 0)
    tokens[:length] = np.arange(101, 101 + length)
    more = {"want": layout.want, "positions": start + layout.offsets, "leading": length}
    return row(slot, tokens.tolist(), start, layout.sees, adapter=layout.is_mask if adapter else False, **more)


@pytest.mark.parametrize("length", [2, 4, 5])
@pytest.mark.parametrize("adapter", [False, True])
def test_a_quadratic_pass(twins: Twins, engine: TensorRtEngine, length: int, adapter: bool) -> None:
    """Masks, positions and an adapter of their own; only the heads stay. The plan has no profile for such passes."""
    slot, start = twins.take(block=True), len(PROMPTS[1])
    twins.run(row(slot, PROMPTS[1]))
    twins.run(quadratic(slot, start, length, engine.manifest.mask_token_id, adapter=adapter))
    twins.run(row(slot, [8, 3], start + 1))


def test_a_quadratic_pass_beyond_a_plan_without_its_profile_is_refused(twins: Twins, engine: TensorRtEngine) -> None:
    """A plan of before there was that profile: it holds drafts of 5."""
    slot = twins.take(block=True)
    twins.run(row(slot, PROMPTS[1]))
    assert engine.manifest.compiled is not None and engine.manifest.compiled.quadratic_length == 5
    longer = quadratic(twins.taken[slot][0], len(PROMPTS[1]), 8, engine.manifest.mask_token_id, adapter=False)
    with pytest.raises(EngineError, match=r"a pass of 72 tokens .* longest profile, prefill, holds 64"):
        engine.run([longer])


@pytest.fixture(scope="module", params=["plain", "wide"])
def on_both(
    request: pytest.FixtureRequest,
    gpu: FakeCuda,
    parity_kit: Path,
    bundle_of: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Twins]:
    """Engines whose plan has the profile of quadratic passes, with drafts of up to 16."""
    checkpoint = parity_kit / "checkpoints" / request.param
    bundle = make_bundle(checkpoint, tmp_path_factory.mktemp("quadratic"), capacity=384, quadratic=16)
    others = set(gpu.leaked)  # engines that are still open
    opened = open_engine(bundle)
    own = set(gpu.leaked) - others
    on_cpu = OnnxRuntimeEngine.open(bundle_of(checkpoint), threads=1, spin=False, max_slots=4)
    yield Twins(opened, on_cpu)
    opened.close()
    assert not own & set(gpu.leaked)


@pytest.mark.parametrize("length", [8, 11, 16])
@pytest.mark.parametrize("adapter", [False, True])
def test_quadratic_passes_of_their_own_profile(on_both: Twins, length: int, adapter: bool) -> None:
    """Two share a call, more take several, whose logits are all there afterwards; what stays are the heads."""
    mask = on_both.engines[0].manifest.mask_token_id
    taken = [on_both.take(block=True) for _ in range(3)]
    for slot, prompt in zip(taken, PROMPTS, strict=False):
        on_both.run(row(slot, prompt))
    lengths = [len(prompt) for prompt in PROMPTS]
    for count, calls in ((1, 1), (2, 1), (3, 2)):
        before = on_both.engines[0].calls
        on_both.run(*(quadratic(taken[at], lengths[at], length, mask, adapter=adapter) for at in range(count)))
        assert on_both.engines[0].calls == before + calls
    for slot, held in zip(taken, lengths, strict=False):
        on_both.run(row(slot, [8, 3], held + 1))
    on_both.close()
    on_both.taken.clear()


def test_a_plan_states_the_drafts_that_it_holds(on_both: Twins) -> None:
    compiled = on_both.engines[0].manifest.compiled
    assert compiled is not None and compiled.quadratic_length == 16

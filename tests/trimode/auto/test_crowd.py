"""What auto chooses for many requests at once, and that every cycle is counted."""

from __future__ import annotations

import threading

import pytest
from trimode.api.answer import Chunk
from trimode.api.counters import Counters
from trimode.api.fields import Mode
from trimode.api.params import GenerationParams
from trimode.auto.chooser import Auto
from trimode.auto.cost_curve import CostCurve
from trimode.decoding.sequence import Phase, SequenceState
from trimode.requests.request import Handle
from trimode.runtime import Runtime

from tests.support.devices import (
    DEFAULTS,
    FLAT,
    PER_TOKEN,
    THIRTY_TWO_AT_ONCE,
    answers,
    asked,
    at_once,
)
from tests.support.toy import MASK, ToyEngine, byte_tokenizer, toy_config


def summed(chunks: list[Chunk]) -> Counters:
    total = Counters()
    for chunk in chunks:
        total += chunk.counters
    return total


def test_one_alone_drafts_and_a_crowd_does_not() -> None:
    engine = ToyEngine(hit=0.9, peak=40)
    *_, alone = answers(THIRTY_TWO_AT_ONCE, engine, *[asked()] * 4)
    assert alone.counters.decode_forwards < 20
    requests = [asked(input_ids=[5 + n, 6, 7], max_tokens=50) for n in range(16)]
    counts = summed(at_once(THIRTY_TWO_AT_ONCE, ToyEngine(hit=0.9, peak=40), requests))
    assert counts.decode_forwards > 0.8 * 16 * 50


def test_diffusion_is_weighed_beside_others_that_are_decoded() -> None:
    others = [asked(input_ids=[4, 5, n], mode=mode, max_tokens=90) for n, mode in enumerate(("autoregressive", "auto"))]
    found = at_once(FLAT, ToyEngine(hit=0.9, peak=40), [*others, asked(auto_allow=["diffusion"])])
    assert [chunk.error for chunk in found] == [None, None, None]


def test_a_request_of_short_blocks_does_not_keep_others_from_drafting() -> None:
    requests = [asked(input_ids=[5 + n, 6, 7], max_tokens=200) for n in range(3)]
    short = asked(input_ids=[9, 9], block_length=1, max_tokens=200)
    *found, _ = at_once(FLAT, ToyEngine(hit=1.0, peak=40), [*requests, short])
    assert all(chunk.counters.forwards < 100 for chunk in found)


def crowd(auto: Auto, count: int) -> list[SequenceState]:
    """Sequences that leave their mode open, each behind its first token."""
    params = GenerationParams.parse({"input_ids": [3], "mode": "auto", "seed": 1, "max_tokens": 90}, DEFAULTS)
    made = [
        SequenceState(params, [3], MASK, slot=slot, phase=Phase.DECODE, tokens=[4], cached=1) for slot in range(count)
    ]
    for seq in made:
        auto.admit(seq, [], 64)
    return made


@pytest.mark.parametrize(("curve", "length"), [(FLAT, 8), (PER_TOKEN, 0)])
def test_who_comes_into_a_crowd_joins_in_its_choice(curve: CostCurve, length: int) -> None:
    auto = Auto(curve, 8)
    seqs = crowd(auto, 9)
    auto.choose(seqs[:8], 64)
    auto.choose(seqs[1:], 64)  # one has gone, one has come
    assert [(seq.mode, seq.block_length) for seq in seqs] == [(seqs[0].mode, seqs[0].block_length)] * 9
    assert (seqs[8].block_length if seqs[8].mode is Mode.SELF_SPECULATION else 0) == length


def test_a_crowd_that_has_changed_chooses_anew() -> None:
    auto = Auto(THIRTY_TWO_AT_ONCE, 8)
    seqs = crowd(auto, 16)
    auto.choose(seqs, 64)
    assert {seq.mode for seq in seqs} == {Mode.AUTOREGRESSIVE}
    auto.choose(seqs[:1], 64)
    assert seqs[0].mode is Mode.SELF_SPECULATION


def test_every_cycle_is_counted_once_whoever_is_there() -> None:
    runtime = Runtime(ToyEngine(hit=0.9, peak=40), byte_tokenizer(), toy_config(), curve=THIRTY_TWO_AT_ONCE)
    requests = [asked(input_ids=[5 + n, 6, 7], max_tokens=10 + 5 * n) for n in range(12)]
    found: list[Chunk] = []
    done = threading.Semaphore(0)

    def sink(chunk: Chunk) -> None:
        found.append(chunk)
        done.release()

    try:
        for request in requests:
            runtime.submit(request, sink)
        assert all(done.acquire(timeout=30) for _ in requests)
        counted = sum(runtime.stats().auto_cycles.values())
    finally:
        runtime.close()
    for chunk in found:
        assert chunk.auto is not None
        drafted = sum(count for name, count in chunk.auto.cycles.items() if "/" in name)
        assert drafted == chunk.counters.verify_forwards
        assert chunk.auto.cycles.get("autoregressive", 0) == chunk.counters.decode_forwards
    assert counted == sum(sum(chunk.auto.cycles.values()) for chunk in found if chunk.auto)


def test_a_large_crowd_drafts_where_a_call_costs_the_same_however_much_is_in_it() -> None:
    auto = Auto(FLAT, 8)
    seqs = crowd(auto, 128)
    auto.choose(seqs, 64)
    assert {(seq.mode, seq.block_length) for seq in seqs} == {(Mode.SELF_SPECULATION, 8)}


def test_what_a_cancelled_request_did_is_counted() -> None:
    runtime = Runtime(ToyEngine(hit=0.5, peak=40), byte_tokenizer(), toy_config(), curve=THIRTY_TWO_AT_ONCE)
    handles: list[Handle] = []
    ready, done, chunks = threading.Event(), threading.Event(), list[Chunk]()

    def sink(chunk: Chunk) -> None:
        chunks.append(chunk)
        if not chunk.last and chunk.token_ids:
            ready.wait()
            handles[0].cancel()
        if chunk.last:
            done.set()

    try:
        handles.append(runtime.submit(asked(max_tokens=300, stream=True), sink))
        ready.set()
        assert done.wait(30)
        counted = sum(runtime.stats().auto_cycles.values())
    finally:
        runtime.close()
    last = chunks[-1]
    assert last.error is not None and last.auto is not None
    assert counted == sum(last.auto.cycles.values())
    assert last.auto.cycles.get("autoregressive", 0) == last.counters.decode_forwards

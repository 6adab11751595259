"""What auto chooses, by what calls cost and what drafts are worth; and that it says so."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from trimode.api.answer import Chunk
from trimode.api.counters import Counters
from trimode.api.defaults import Defaults
from trimode.api.fields import Mode
from trimode.api.params import GenerationParams
from trimode.auto.chooser import Auto
from trimode.auto.cost_curve import CostCurve
from trimode.auto.throughput import DraftOutlook, Load, best_choice, drafts_could_pay
from trimode.auto.tuning import TUNING
from trimode.decoding.sequence import Phase, SequenceState
from trimode.requests.services import Handle
from trimode.runtime import Runtime

from tests.support.toy import EOS, MASK, ToyEngine, byte_tokenizer, toy_config, toy_curve

ROWS, TOKENS = TUNING.grid_rows, TUNING.grid_tokens
DEFAULTS = Defaults(ToyEngine().manifest.vocab_size, 8, EOS)


class Fixed(CostCurve):
    """A curve that does not follow what the toy engine takes."""

    def due(self) -> bool:
        return False


FLAT = Fixed(np.full((len(ROWS), len(TOKENS)), 0.001), 64)
"""A device on which every call costs the same, as a GPU's while it waits for memory."""
PER_TOKEN = Fixed(np.array([[0.001 * b * s for s in TOKENS] for b in ROWS]), 64)
"""A device on which every token costs the same: drafting never pays."""
THIRTY_TWO_AT_ONCE = Fixed(np.array([[0.001 * max(1, b * s / 32) for s in TOKENS] for b in ROWS]), 64)
"""A device that does 32 tokens at once."""


def asked(**given: Any) -> dict[str, Any]:
    return {"input_ids": [3 + at % 40 for at in range(20)], "max_tokens": 60, "end_id": -1, "seed": 1, **given}


def answers(curve: CostCurve, engine: ToyEngine, *requests: dict[str, Any], **config: int) -> list[Chunk]:
    """Return the answers of requests asked one after another."""
    runtime = Runtime(engine, byte_tokenizer(), toy_config(**config), curve=curve)
    try:
        return [runtime.generate(request) for request in requests]
    finally:
        runtime.close()


def at_once(curve: CostCurve, engine: ToyEngine, requests: list[dict[str, Any]]) -> list[Chunk]:
    runtime = Runtime(engine, byte_tokenizer(), toy_config(), curve=curve)
    found: dict[int, Chunk] = {}
    done = threading.Semaphore(0)
    try:
        for number, request in enumerate(requests):

            def sink(chunk: Chunk, number: int = number) -> None:
                found[number] = chunk
                done.release()

            runtime.submit(request, sink)
        for _ in requests:
            assert done.acquire(timeout=30)
    finally:
        runtime.close()
    return [found[number] for number in range(len(requests))]


def summed(chunks: list[Chunk]) -> Counters:
    total = Counters()
    for chunk in chunks:
        total += chunk.counters
    return total


def test_good_drafts_on_a_flat_device_are_as_long_as_they_can_be() -> None:
    chunk = answers(FLAT, ToyEngine(hit=1.0, peak=40), *[asked()] * 3)[-1]
    assert chunk.auto is not None
    assert chunk.auto.cycles["self_speculation/8"] >= 6  # of 60 tokens; the last few need no block so long
    assert chunk.counters.decode_forwards <= 2  # where no more is asked for


def test_where_every_token_costs_the_same_there_is_no_draft() -> None:
    chunk = answers(PER_TOKEN, ToyEngine(hit=1.0, peak=40), *[asked()] * 3)[-1]
    assert chunk.auto is not None
    assert set(chunk.auto.cycles) == {"autoregressive"}


def test_drafts_that_are_always_wrong_are_given_up_and_tried_again_now_and_then() -> None:
    chunks = answers(FLAT, ToyEngine(hit=0.0, peak=0.0), *[asked(max_tokens=400)] * 4)
    counts = chunks[-1].counters
    assert counts.decode_forwards > 350
    assert 1 <= counts.draft_forwards <= 400 / TUNING.trial_after_tokens


def test_one_alone_drafts_and_a_crowd_does_not() -> None:
    engine = ToyEngine(hit=0.9, peak=40)
    *_, alone = answers(THIRTY_TWO_AT_ONCE, engine, *[asked()] * 4)
    assert alone.counters.decode_forwards < 20
    requests = [asked(input_ids=[5 + n, 6, 7], max_tokens=50) for n in range(16)]
    counts = summed(at_once(THIRTY_TWO_AT_ONCE, ToyEngine(hit=0.9, peak=40), requests))
    assert counts.decode_forwards > 0.8 * 16 * 50


def test_like_requests_start_with_what_was_learnt() -> None:
    engine = ToyEngine(hit=0.0, peak=0.0)
    bad = asked(max_tokens=40)
    first, *_, last = answers(FLAT, engine, *[bad] * 6)
    assert first.counters.draft_forwards > last.counters.draft_forwards


def test_a_blocks_length_is_an_upper_bound() -> None:
    chunk = answers(FLAT, ToyEngine(hit=1.0, peak=40), *[asked(block_length=5)] * 2)[-1]
    assert chunk.auto is not None
    assert set(chunk.auto.cycles) == {"self_speculation/5"}


def test_diffusion_is_chosen_where_it_is_allowed_and_quickest() -> None:
    engine = ToyEngine(hit=0.5, peak=60)  # sure of everything, and wrong half the time
    *chunks, other = answers(FLAT, engine, *[asked(auto_allow=["diffusion"])] * 6, asked())
    assert chunks[0].counters.denoise_forwards and chunks[-1].counters.denoise_forwards  # others may have been tried
    assert chunks[-1].auto is not None and chunks[-1].auto.cycles == {"diffusion": 1}
    assert not other.counters.denoise_forwards


def test_diffusion_that_turned_out_slow_is_not_chosen_again() -> None:
    engine = ToyEngine(hit=0.9, peak=1.0)  # right, and never sure: a pass for every token
    chunks = answers(FLAT, engine, *[asked(auto_allow=["diffusion"])] * 4)
    assert chunks[0].counters.denoise_forwards > 0
    assert chunks[-1].counters.denoise_forwards == 0


def test_what_it_expects_is_told() -> None:
    (chunk,) = answers(FLAT, ToyEngine(hit=1.0, peak=40), asked())
    assert chunk.auto is not None
    drafted = sum(count for name, count in chunk.auto.cycles.items() if "/" in name)
    single = chunk.auto.cycles.get("autoregressive", 0)
    assert chunk.auto.expected_ms == pytest.approx(2 * drafted + single)
    assert (chunk.counters.verify_forwards, chunk.counters.decode_forwards) == (drafted, single)
    (chunk,) = answers(FLAT, ToyEngine(), asked(mode="self_speculation"))
    assert chunk.auto is None


def test_the_runtime_counts_choices_and_shows_costs() -> None:
    runtime = Runtime(ToyEngine(hit=1.0, peak=40), byte_tokenizer(), toy_config(), curve=toy_curve())
    try:
        chunk = runtime.generate(asked())
        assert chunk.auto is not None
        stats = runtime.stats()
        assert sum(stats.auto_cycles.values()) == sum(chunk.auto.cycles.values())
        assert stats.pass_seconds[8, 32] > stats.pass_seconds[1, 1] > 0
    finally:
        runtime.close()


def test_a_request_that_names_its_mode_is_left_alone() -> None:
    auto = Auto(FLAT, 8)
    given = {"input_ids": [3], "mode": "autoregressive", "seed": 1}
    seq = SequenceState(GenerationParams.parse(given, DEFAULTS), [3], MASK, phase=Phase.DECODE)
    auto.admit(seq, [], 64)
    auto.choose([seq], 64)
    assert auto.state_of(seq) is None and not auto.cycles


def test_diffusion_is_weighed_beside_others_that_are_decoded() -> None:
    others = [asked(input_ids=[4, 5, n], mode=mode, max_tokens=90) for n, mode in enumerate(("autoregressive", "auto"))]
    found = at_once(FLAT, ToyEngine(hit=0.9, peak=40), [*others, asked(auto_allow=["diffusion"])])
    assert [chunk.error for chunk in found] == [None, None, None]


def test_what_diffusion_was_expected_to_take_is_of_the_whole_answer() -> None:
    engine = ToyEngine(hit=0.5, peak=60)
    *_, last = answers(FLAT, engine, *[asked(auto_allow=["diffusion"])] * 12)
    assert last.auto is not None and last.auto.cycles == {"diffusion": 1}
    assert last.auto.expected_ms == pytest.approx(last.counters.forwards, rel=0.3)  # a pass takes a millisecond


def test_an_answer_of_the_prefills_token_alone_has_no_cycle() -> None:
    (chunk,) = answers(FLAT, ToyEngine(), asked(max_tokens=1))
    assert chunk.auto is not None
    assert (chunk.auto.cycles, chunk.auto.expected_ms) == ({}, 0.0)


def test_a_request_of_short_blocks_does_not_keep_others_from_drafting() -> None:
    requests = [asked(input_ids=[5 + n, 6, 7], max_tokens=200) for n in range(3)]
    short = asked(input_ids=[9, 9], block_length=1, max_tokens=200)
    *found, _ = at_once(FLAT, ToyEngine(hit=1.0, peak=40), [*requests, short])
    assert all(chunk.counters.forwards < 100 for chunk in found)


def test_what_others_chose_for_themselves_teaches_auto_nothing() -> None:
    engine = ToyEngine(hit=0.9, peak=40)
    (alone,) = answers(FLAT, engine, asked())
    spoilt = [asked(mode="self_speculation", block_length=2), asked(mode="diffusion", threshold=0.0)]
    *_, after = answers(FLAT, engine, *spoilt * 4, asked())
    assert after.auto == alone.auto


def crowd(auto: Auto, count: int) -> list[SequenceState]:
    """Sequences that leave their mode open, each behind its first token."""
    params = GenerationParams.parse({"input_ids": [3], "mode": "auto", "seed": 1, "max_tokens": 90}, DEFAULTS)
    made = [SequenceState(params, [3], MASK, slot=slot, phase=Phase.DECODE, tokens=[4]) for slot in range(count)]
    for seq in made:
        auto.admit(seq, [], 64)
    return made


@pytest.mark.parametrize(("curve", "length"), [(FLAT, 8), (PER_TOKEN, 0)])
def test_who_comes_into_a_crowd_joins_in_its_choice(curve: CostCurve, length: int) -> None:
    auto = Auto(curve, 8)
    seqs = crowd(auto, 9)
    auto.choose(seqs[:8], 64)
    standing = auto._steps_left
    auto.choose(seqs[1:], 64)  # one has gone, one has come
    assert auto._steps_left == standing - 1
    assert [(seq.mode, seq.block_length) for seq in seqs] == [(seqs[0].mode, seqs[0].block_length)] * 9
    assert (seqs[8].block_length if seqs[8].mode is Mode.SELF_SPECULATION else 0) == length


def test_a_crowd_that_has_changed_chooses_anew() -> None:
    auto = Auto(THIRTY_TWO_AT_ONCE, 8)
    seqs = crowd(auto, 16)
    auto.choose(seqs, 64)
    assert {seq.mode for seq in seqs} == {Mode.AUTOREGRESSIVE}
    auto.choose(seqs[:1], 64)
    assert seqs[0].mode is Mode.SELF_SPECULATION


def test_what_one_chose_is_not_stood_by_when_many_have_come() -> None:
    table = np.array([[0.001 if b == 1 or s == 1 else 0.0025 for s in TOKENS] for b in ROWS])
    auto = Auto(Fixed(table, 64), 8)
    seqs = crowd(auto, 16)
    auto.choose(seqs[:1], 64)
    assert seqs[0].mode is Mode.SELF_SPECULATION
    auto.choose(seqs, 64)
    assert {seq.mode for seq in seqs[1:]} == {Mode.AUTOREGRESSIVE}


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


@pytest.mark.parametrize(("now", "length"), [(None, 0), (0, 0), (8, 8)])
def test_a_crowd_changes_only_for_a_clear_gain(now: int | None, length: int) -> None:
    runs = [0.0, 1.0, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.4]  # drafts of 8 give 1.2 times the tokens of single steps
    assert best_choice(FLAT, Load(), 64, [DraftOutlook(runs, 8, 89)] * 16, now)[1] == length


@pytest.mark.parametrize(("count", "length"), [(1, 8), (2, 4)])
def test_among_several_a_longer_draft_must_be_better_by_more_than_a_little(count: int, length: int) -> None:
    runs = [0.0, 1.0, 2.0, 2.9, 3.0, 3.01, 3.02, 3.03, 3.04]
    rate, chosen = best_choice(FLAT, Load(), 64, [DraftOutlook(runs, 8, 89)] * count, None)
    assert chosen == length
    assert rate == pytest.approx(count * runs[length] / 2 / 0.001)


def test_a_draft_is_not_tried_where_none_could_be_chosen() -> None:
    table = np.array([[0.001 if s == 1 else 0.0036 for s in TOKENS] for _ in ROWS])  # 8 of 8 give 1.1 times the tokens
    curve = Fixed(table, 64)
    assert drafts_could_pay(curve, Load(), 64, 1, 8)
    assert not drafts_could_pay(curve, Load(), 64, 16, 8)


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

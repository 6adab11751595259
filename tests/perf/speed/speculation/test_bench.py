"""The bench of auto: what runs at once does not depend on threads, and passes are those that the recording says."""

from __future__ import annotations

from typing import Any

import pytest
from trimode_perf.speed.speculation.bench import AUTO, FIXED, MET, Bench, Sizes, halves, run, took
from trimode_perf.speed.speculation.part import devices
from trimode_perf.speed.speculation.recording import Recording

RECORDING = Recording.load()
DEVICES = devices(RECORDING)
FEW = RECORDING.first(1).answers[:6]


def passes(at_once: int, fields: dict[str, Any]) -> Sizes:
    bench = Bench(RECORDING, DEVICES["this CPU"], at_once)
    try:
        return bench.answer(FEW, fields)
    finally:
        bench.close()


def test_prompts_of_each_domain_come_before_those_that_count() -> None:
    met, counted = halves(RECORDING)
    domains = {answer.domain for answer in RECORDING.answers}
    assert len(met) == MET * len(domains) and {answer.domain for answer in counted} == domains
    assert not {answer.prompt for answer in met} & {answer.prompt for answer in counted}


def test_single_tokens_take_a_pass_each_alone() -> None:
    assert passes(1, FIXED["autoregressive"]) == {1: sum(len(answer.tokens) - 1 for answer in FEW)}


def test_single_tokens_of_several_share_passes() -> None:
    found = passes(3, FIXED["autoregressive"])
    assert sum(size * count for size, count in found.items()) == sum(len(answer.tokens) - 1 for answer in FEW)
    assert max(found) == 3


@pytest.mark.parametrize("at_once", [1, 4])
def test_a_replay_of_several_has_no_noise(at_once: int) -> None:
    assert passes(at_once, AUTO) == passes(at_once, AUTO)


def test_a_full_load_ends_when_no_request_waits() -> None:
    bench = Bench(RECORDING, DEVICES["this CPU"], 2)
    try:
        sizes = bench.answer(FEW[:2], FIXED["autoregressive"])
        engine = bench.engine
    finally:
        bench.close()
    shorter, longer = sorted(len(answer.tokens) for answer in FEW[:2])
    assert longer > shorter and sizes[1] >= longer - shorter
    assert set(+engine.full) <= {1, 2} and engine.full[2] == sizes[2]
    assert engine.full_tokens <= sum(size * count for size, count in engine.full.items()) + 2


def test_what_passes_take_is_the_devices() -> None:
    assert took(Sizes({1: 3, 8: 2}), lambda tokens: 0.5 * tokens) == 1.5 + 8.0


def test_every_choice_is_replayed_at_every_load() -> None:
    fixed = {name: FIXED[name] for name in ("autoregressive", "linear 8")}
    few = {domain for domain in sorted({answer.domain for answer in RECORDING.answers})[:2]}
    some = Recording(
        [answer for answer in RECORDING.answers if answer.domain in few],
        RECORDING.seconds,
        RECORDING.mask_token_id,
        RECORDING.vocab_size,
    )
    shares: list[float] = []
    found = run(some, {"flat": DEVICES["flat"]}, shares.append, loads=(1, 2), fixed=fixed)
    assert {load: set(taken) for load, taken in found.loads["flat"].items()} == {
        load: {*fixed, "auto"} for load in (1, 2)
    }
    assert set(found.domains["flat"]) == few and shares == [0.5, 1.0]
    alone = found.loads["flat"][1]
    tokens = sum(len(answer.tokens) - 1 for answer in halves(some)[1])
    assert found.full["flat"][1] == pytest.approx({name: taken / tokens for name, taken in alone.items()}, rel=0.05)
    assert alone["autoregressive"] == pytest.approx(
        sum(taken["autoregressive"] for taken in found.domains["flat"].values())
    )
    assert alone["autoregressive"] > alone["linear 8"]

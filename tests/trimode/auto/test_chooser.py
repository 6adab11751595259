"""What auto chooses, by what calls cost and what drafts are worth; and that it says so."""

from __future__ import annotations

import pytest
from trimode.api.params import GenerationParams
from trimode.auto.chooser import Auto
from trimode.decoding.sequence import Phase, SequenceState
from trimode.runtime import Runtime

from tests.support.devices import DEFAULTS, FLAT, PER_TOKEN, THIRTY_TWO_AT_ONCE, answers, asked
from tests.support.toy import MASK, ToyEngine, byte_tokenizer, toy_config, toy_curve


def test_good_drafts_on_a_flat_device_are_as_long_as_they_can_be() -> None:
    chunk = answers(FLAT, ToyEngine(hit=1.0, peak=40), *[asked()] * 3)[-1]
    assert chunk.auto is not None
    drafted = [count for name, count in chunk.auto.cycles.items() if name.endswith("/8")]
    assert sum(drafted) >= 6  # of 60 tokens; the last few need no block so long
    assert chunk.counters.decode_forwards <= 2  # where no more is asked for


def test_where_every_token_costs_the_same_there_is_no_draft() -> None:
    chunk = answers(PER_TOKEN, ToyEngine(hit=1.0, peak=40), *[asked()] * 3)[-1]
    assert chunk.auto is not None
    assert set(chunk.auto.cycles) == {"autoregressive"}


def test_drafts_that_are_always_wrong_are_given_up_and_tried_again_now_and_then() -> None:
    chunks = answers(FLAT, ToyEngine(hit=0.0, peak=0.0), *[asked(max_tokens=400)] * 4)
    counts = chunks[-1].counters
    assert counts.decode_forwards > 350
    assert 1 <= counts.draft_forwards <= 400 / 16


def test_like_requests_start_with_what_was_learnt() -> None:
    engine = ToyEngine(hit=0.0, peak=0.0)
    bad = asked(max_tokens=40)
    first, *_, last = answers(FLAT, engine, *[bad] * 6)
    assert first.counters.verify_forwards > last.counters.verify_forwards


def test_a_blocks_length_is_an_upper_bound() -> None:
    chunk = answers(FLAT, ToyEngine(hit=1.0, peak=40), *[asked(block_length=5)] * 2)[-1]
    assert chunk.auto is not None
    assert set(chunk.auto.cycles) <= {"self_speculation/5", "quadratic/5"}


def test_on_a_flat_device_passes_that_verify_and_draft_are_chosen() -> None:
    """One pass a cycle in place of two, and the text is the same."""
    engine = ToyEngine(hit=0.9, peak=40)
    *_, chunk = answers(FLAT, engine, *[asked()] * 4)
    assert chunk.auto is not None
    assert sum(count for name, count in chunk.auto.cycles.items() if name.startswith("quadratic/")) > 5
    assert chunk.counters.draft_forwards <= 2
    assert chunk.token_ids == engine.greedy(asked()["input_ids"], 60)


def test_where_such_passes_follow_the_prompts_pass_makes_the_first_draft() -> None:
    for curve, drafts in ((FLAT, True), (PER_TOKEN, False)):
        engine = ToyEngine(hit=0.9, peak=40)
        answers(curve, engine, *[asked()] * 4)
        behind = [row for row in engine.rows if row.start == 0 and len(row.tokens) > len(asked()["input_ids"])]
        assert bool(behind) is drafts


def test_where_tokens_cost_more_the_more_there_are_such_passes_have_few_masks_or_are_not_chosen() -> None:
    engine = ToyEngine(hit=0.9, peak=40)
    answers(THIRTY_TWO_AT_ONCE, engine, *[asked()] * 4)
    assert max(len(row.tokens) for row in engine.rows if not isinstance(row.sees, str)) < 48  # not 72
    engine = ToyEngine(hit=0.9, peak=40)
    answers(PER_TOKEN, engine, *[asked()] * 4)
    assert all(isinstance(row.sees, str) for row in engine.rows)


@pytest.mark.subprocess  # a form is compiled in a process of its own
def test_what_an_answers_form_prescribes_is_drafted_in_passes_of_their_own() -> None:
    given = asked(guided_decoding_guide_type="regex", guided_decoding_guide="[a-z]{40,60}", max_tokens=70)
    *_, chunk = answers(FLAT, ToyEngine(hit=1.0, peak=40), *[given] * 3)
    assert chunk.auto is not None and not any(name.startswith("quadratic/") for name in chunk.auto.cycles)


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
    one_pass = sum(count for name, count in chunk.auto.cycles.items() if name.startswith("quadratic/"))
    drafted = sum(count for name, count in chunk.auto.cycles.items() if name.startswith("self_speculation/"))
    single = chunk.auto.cycles.get("autoregressive", 0)
    assert chunk.auto.expected_ms == pytest.approx(2 * drafted + one_pass + single)
    assert chunk.counters.verify_forwards == drafted + one_pass
    assert chunk.counters.decode_forwards == single
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


def test_what_diffusion_was_expected_to_take_is_of_the_whole_answer() -> None:
    engine = ToyEngine(hit=0.5, peak=60)
    *_, last = answers(FLAT, engine, *[asked(auto_allow=["diffusion"])] * 12)
    assert last.auto is not None and last.auto.cycles == {"diffusion": 1}
    assert last.auto.expected_ms == pytest.approx(last.counters.forwards, rel=0.3)  # a pass takes a millisecond


def test_an_answer_of_the_prefills_token_alone_has_no_cycle() -> None:
    (chunk,) = answers(FLAT, ToyEngine(), asked(max_tokens=1))
    assert chunk.auto is not None
    assert (chunk.auto.cycles, chunk.auto.expected_ms) == ({}, 0.0)


def test_what_others_chose_for_themselves_teaches_auto_nothing() -> None:
    engine = ToyEngine(hit=0.9, peak=40)
    (alone,) = answers(FLAT, engine, asked())
    spoilt = [asked(mode="self_speculation", block_length=2), asked(mode="diffusion", threshold=0.0)]
    *_, after = answers(FLAT, engine, *spoilt * 4, asked())
    assert after.auto == alone.auto


@pytest.mark.parametrize("prompt", [490, 503, 504, 505, 510, 511])
def test_auto_takes_every_prompt_that_single_tokens_take(prompt: int) -> None:
    """The last tokens of the capacity, 512, hold no block of 8; the toy engine refuses a pass that goes beyond."""
    engine = ToyEngine(hit=1.0, peak=40)
    ids = [3 + at % 40 for at in range(prompt)]
    for given in ({}, {"auto_allow": ["diffusion"]}):
        chunk = answers(FLAT, engine, asked(input_ids=ids, max_tokens=512 - prompt, **given))[0]
        assert chunk.token_ids == engine.greedy(ids, 512 - prompt)
        assert chunk.auto is not None and "diffusion" not in chunk.auto.cycles


def test_drafts_become_shorter_where_the_capacity_ends() -> None:
    ids = [3 + at % 40 for at in range(492)]
    chunk = answers(FLAT, ToyEngine(hit=1.0, peak=40), asked(input_ids=ids, max_tokens=20))[0]
    assert chunk.auto is not None
    lengths = [int(name.partition("/")[2]) for name in chunk.auto.cycles if name.startswith("self_speculation/")]
    passes = [count for name, count in chunk.auto.cycles.items() if name.startswith("quadratic/8")]
    assert (passes or lengths[0] == 8) and min(lengths) < 8

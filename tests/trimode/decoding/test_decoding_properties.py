"""Invariants of decoding, on the toy engine, for drafts, lengths, knobs and neighbours of every kind."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trimode.api.answer import Chunk

from tests.support.requests import MODES, requests
from tests.support.toy import EOS, MASK, ToyEngine, running

DRAFTING = ("block_length", "denoise_steps", "threshold", "reveal", "speculation")


@settings(max_examples=60, deadline=None)
@given(requests("self_speculation"), st.floats(0, 1), st.integers(0, 99))
def test_self_speculation_gives_the_autoregressive_tokens(asked: dict[str, Any], hit: float, seed: int) -> None:
    """For any draft, greedy or sampled, with penalties and with a thinking budget."""
    serial = {k: v for k, v in asked.items() if k not in DRAFTING}
    with running(ToyEngine(hit=hit, seed=seed, eos_rate=0.05)) as runtime:
        more = {"seed": seed, "return_log_probs": True, "top_log_probs": 3}
        expected = runtime.generate({**serial, "mode": "autoregressive", **more})
        speculated = runtime.generate({**asked, **more})
    assert speculated.top == expected.top and len(expected.top) == len(expected.token_ids)
    assert speculated.token_ids == expected.token_ids
    assert speculated.log_probs == expected.log_probs
    assert speculated.finish_reason == expected.finish_reason


@settings(max_examples=60, deadline=None)
@given(st.lists(requests("auto"), min_size=1, max_size=4), st.floats(0, 1), st.integers(0, 99))
def test_auto_gives_the_autoregressive_tokens(asked: list[dict[str, Any]], hit: float, seed: int) -> None:
    """Whatever it chooses, for one request after another, of which it learns."""
    with running(ToyEngine(hit=hit, seed=seed, eos_rate=0.05)) as runtime:
        for one in asked:
            serial = {k: v for k, v in one.items() if k != "block_length"} | {"mode": "autoregressive"}
            expected = runtime.generate({**serial, "seed": seed, "return_log_probs": True})
            chosen = runtime.generate({**one, "seed": seed, "return_log_probs": True})
            assert (chosen.token_ids, chosen.log_probs) == (expected.token_ids, expected.log_probs)
            assert chosen.finish_reason == expected.finish_reason


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.lists(requests(), min_size=2, max_size=8), st.integers(1, 4))
def test_a_result_does_not_depend_on_its_neighbours(asked: list[dict[str, Any]], slots: int) -> None:
    asked = [{"seed": 7, **one} for one in asked]
    with running(ToyEngine(eos_rate=0.03)) as runtime:
        alone = [runtime.generate(one) for one in asked]
    together: dict[int, Chunk] = {}
    with running(ToyEngine(eos_rate=0.03), max_slots=slots, max_queue=99, prefill_chunk=3) as runtime:
        done = threading.Semaphore(0)
        for number, one in enumerate(asked):

            def sink(chunk: Chunk, number: int = number) -> None:
                together[number] = chunk
                done.release()

            runtime.submit(one, sink)
        for _ in asked:
            assert done.acquire(timeout=30)
    assert [together[number].token_ids for number in range(len(asked))] == [one.token_ids for one in alone]


@settings(max_examples=60, deadline=None)
@given(requests())
def test_counters_add_up(asked: dict[str, Any]) -> None:
    engine = ToyEngine(eos_rate=0.03)
    with running(engine) as runtime:
        answer = runtime.generate(asked)
    counts = answer.counters
    assert counts.prefill_forwards + counts.forwards == engine.calls
    assert counts.output_tokens == len(answer.token_ids) <= asked["max_tokens"]
    assert 0 <= counts.total_accepted_draft_tokens <= counts.total_draft_tokens
    assert sum(counts.acceptance) == counts.verify_forwards
    assert sum(at * count for at, count in enumerate(counts.acceptance)) == counts.total_accepted_draft_tokens
    assert sum(row.keep for row in engine.rows) == (
        counts.forwards + counts.prefill_forwards - counts.denoise_forwards - counts.draft_forwards
    )


@settings(max_examples=60, deadline=None)
@given(requests())
def test_an_answer_ends_at_the_end_token_or_at_max_tokens(asked: dict[str, Any]) -> None:
    with running(ToyEngine(eos_rate=0.1)) as runtime:
        answer = runtime.generate(asked)
    if answer.finish_reason == "stop":
        assert answer.token_ids.index(EOS) == len(answer.token_ids) - 1
    else:
        assert answer.finish_reason == "length"
        assert EOS not in answer.token_ids
        assert len(answer.token_ids) == asked["max_tokens"]
    assert MASK not in answer.token_ids


@settings(max_examples=60, deadline=None)
@given(requests("diffusion"))
def test_denoise_steps_bounds_the_passes_of_every_block(asked: dict[str, Any]) -> None:
    with running(ToyEngine()) as runtime:
        counts = runtime.generate(asked).counters
    block = asked["block_length"]
    blocks = -(-asked["max_tokens"] // block)
    assert counts.denoise_forwards <= blocks * asked.get("denoise_steps", block)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(requests(), st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=3), st.booleans())
def test_stop_words_never_leak_and_chunks_join_to_the_text(
    asked: dict[str, Any], words: list[str], explicit: bool
) -> None:
    words = [word.encode("utf-8", "ignore").decode() or "x" for word in words]
    asked = {"seed": 1, **asked, "min_tokens": 0}
    with running(ToyEngine(eos_rate=0.02)) as runtime:
        free = runtime.generate(asked)
        if explicit and len(free.text) > 2:
            words.append(free.text[len(free.text) // 2 :][:2])
        whole = runtime.generate({**asked, "stop_words": words})
        streamed = runtime.generate({**asked, "stop_words": words, "stream": True})
    assert streamed.text == whole.text
    assert streamed.token_ids == whole.token_ids == free.token_ids[: len(whole.token_ids)]
    hits = [(at + len(word), at) for word in words if (at := free.text.find(word)) >= 0]
    if hits:
        assert whole.text == free.text[: min(hits)[1]]  # the word that is complete first
        assert whole.finish_reason == "stop"
    else:
        assert whole.text == free.text


@pytest.mark.parametrize("mode", MODES)
def test_the_thinking_budget_emits_its_end_marker_in_every_mode(mode: str) -> None:
    with running(ToyEngine()) as runtime:
        answer = runtime.generate(
            {"input_ids": [3, 4], "mode": mode, "max_tokens": 30, "max_thinking_tokens": 11, "end_think_token_id": 5}
        )
    assert answer.token_ids[11] == 5 or 5 in answer.token_ids[:11]

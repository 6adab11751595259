"""Requests with a prediction or with prompt lookup: the same answers in fewer passes, and what is refused."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trimode.api.answer import Chunk
from trimode.errors import RequestError
from trimode.requests.free_drafts import free_drafts_of
from trimode.runtime import Runtime

from tests.support.requests import requests
from tests.support.saying_engine import SayingEngine
from tests.support.toy import EOS, ToyEngine, byte_tokenizer, running, toy_config, toy_curve

TOKENIZER = byte_tokenizer()
LETTERS = "abcd "
MODES = ("autoregressive", "self_speculation", "auto")
TEXT = "The quick brown fox jumps over the lazy dog, and then it does so again until the day ends."
EDITS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["", "a", "zz", "b c"]), st.integers(0, 3)), max_size=5)


def edited(text: str, edits: list[tuple[int, str, int]]) -> str:
    for at, put, taken in edits:
        text = text[:at] + put + text[at + taken :]
    return text


@st.composite
def askings(draw: st.DrawFn) -> dict[str, Any]:
    """Requests over few letters, so that drafts of every kind are found, in the modes that verify."""
    asked: dict[str, Any] = draw(requests(draw(st.sampled_from(MODES))))
    asked = {name: value for name, value in asked.items() if name not in ("speculation", "bad_token_ids")}
    if draw(st.booleans()):
        asked["allowed_token_ids"] = [EOS, *TOKENIZER.encode(LETTERS), *([5] if "max_thinking_tokens" in asked else [])]
        asked["input_ids"] = TOKENIZER.encode(draw(st.text(LETTERS, min_size=1, max_size=20)))
    asked["stop_words"] = draw(st.sampled_from([[], ["a"], ["b a", "dd"], ["abc"]]))
    return {**asked, "block_length": max(asked.get("block_length", 8), 2)}


def serial(asked: dict[str, Any]) -> dict[str, Any]:
    """The same request token by token."""
    drafting = ("block_length", "denoise_steps", "threshold", "reveal", "prediction", "prompt_lookup")
    return {**{name: value for name, value in asked.items() if name not in drafting}, "mode": "autoregressive"}


def shown(chunk: Chunk) -> tuple[object, ...]:
    return chunk.text, chunk.token_ids, chunk.log_probs, chunk.top, chunk.finish_reason


@settings(max_examples=120, deadline=None)
@given(askings(), EDITS, st.booleans(), st.integers(0, 99), st.floats(0, 1))
def test_free_drafts_give_the_autoregressive_answer(
    asked: dict[str, Any], edits: list[tuple[int, str, int]], lookup: bool, seed: int, hit: float
) -> None:
    """Greedy or sampled, under rules, penalties and a thinking budget; the prediction right, nearly right or wrong."""
    with running(ToyEngine(seed=seed, hit=hit, eos_rate=0.03)) as runtime:
        asked |= {"seed": seed, "return_log_probs": True, "top_log_probs": 2}
        expected = runtime.generate(serial(asked))
        if asked["mode"] == "autoregressive":
            del asked["block_length"]
        prediction = edited(expected.text, edits)
        found = runtime.generate({**asked, "prediction": prediction, "prompt_lookup": lookup})
    assert shown(found) == shown(expected)
    counts = found.counters
    free = counts.accepted_prediction_tokens + counts.accepted_prompt_lookup_tokens
    assert free <= counts.total_accepted_draft_tokens
    assert sum(counts.acceptance) == counts.verify_forwards
    if asked["mode"] == "autoregressive":
        assert counts.forwards <= expected.counters.forwards


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(askings(), EDITS), min_size=2, max_size=6), st.integers(1, 4))
def test_neighbours_do_not_matter(asked: list[tuple[dict[str, Any], Any]], slots: int) -> None:
    wanted, alone = [], []
    with running(ToyEngine(eos_rate=0.03)) as runtime:
        for one, edits in asked:
            answer = runtime.generate(serial({**one, "seed": 7}))
            alone.append(answer)
            more = {"prediction": edited(answer.text, edits), "prompt_lookup": True, "seed": 7}
            kept = {k: v for k, v in one.items() if k != "block_length" or one["mode"] != "autoregressive"}
            wanted.append({**kept, **more})
    together = at_once(ToyEngine(eos_rate=0.03), wanted, slots)
    assert [shown(one) for one in together] == [shown(one) for one in alone]


def at_once(engine: ToyEngine, asked: list[dict[str, Any]], slots: int) -> list[Chunk]:
    found: dict[int, Chunk] = {}
    done = threading.Semaphore(0)
    with running(engine, max_slots=slots, max_queue=99, prefill_chunk=3) as runtime:
        for number, one in enumerate(asked):

            def sink(chunk: Chunk, number: int = number) -> None:
                found[number] = chunk
                done.release()

            runtime.submit(one, sink)
        for _ in asked:
            assert done.acquire(timeout=60)
    return [found[number] for number in range(len(asked))]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stop", ["x", "fox", "n fox jumps ov", "again", "."])
def test_a_stop_word_anywhere_in_a_draft_ends_the_answer(mode: str, stop: str) -> None:
    asked = {"input_ids": [3, 4], "max_tokens": 200, "stop_words": [stop], "return_token_ids": True}
    with running(SayingEngine(TEXT)) as runtime:
        expected = runtime.generate({**asked, "mode": "autoregressive"})
        found = runtime.generate({**asked, "mode": mode, "prediction": TEXT})
    assert shown(found) == shown(expected)
    assert expected.text == TEXT[: TEXT.index(stop)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("prediction", "most"),
    [(TEXT, 16), (TEXT[1:], 18), (TEXT[9:], 24), (TEXT.replace("fox", "cat"), 24), (TEXT.replace("lazy", "sly"), 24)],
)
def test_a_nearly_right_prediction_saves_most_passes(mode: str, prediction: str, most: int) -> None:
    asked = {"input_ids": [3, 4], "max_tokens": 200, "mode": mode, "prediction": prediction}
    with running(SayingEngine(TEXT, hit=0.0)) as runtime:
        answer = runtime.generate(asked)
    assert answer.text == TEXT
    assert answer.counters.forwards <= most
    assert answer.counters.accepted_prediction_tokens > len(TEXT) // 2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("prediction", ["", "0123456789" * 9, "é" * 50, "<eos>", "<mask>" * 9])
def test_a_useless_prediction_changes_nothing(mode: str, prediction: str) -> None:
    asked = {"input_ids": [3, 4], "max_tokens": 200, "mode": mode}
    with running(SayingEngine(TEXT)) as runtime:
        answer = runtime.generate({**asked, "prediction": prediction})
    assert (answer.text, answer.finish_reason) == (TEXT, "stop")


@pytest.mark.parametrize("mode", MODES)
def test_a_text_that_stood_before_is_looked_up(mode: str) -> None:
    engine = SayingEngine(TEXT + " Again: " + TEXT, hit=0.0)
    with running(engine) as runtime:
        answer = runtime.generate({"input_ids": [3, 4], "max_tokens": 250, "mode": mode, "prompt_lookup": True})
    assert answer.text == TEXT + " Again: " + TEXT
    counts = answer.counters
    assert counts.accepted_prompt_lookup_tokens > len(TEXT) - 16
    assert counts.accepted_prediction_tokens == counts.rejected_prediction_tokens == 0


def test_a_prediction_longer_than_any_answer_is_refused() -> None:
    with running(ToyEngine()) as runtime:
        capacity = runtime.manifest.capacity
        for text in ("a" * (capacity + 1), "a" * 999_999):
            with pytest.raises(RequestError, match=f"prediction must fit the capacity of {capacity} tokens") as refused:
                runtime.generate({"input_ids": [3], "prediction": text})
            assert refused.value.error_type == "invalid_value"
        assert runtime.generate({"input_ids": [3], "max_tokens": 3, "prediction": "a" * capacity}).token_ids


def test_without_a_tokenizer_there_is_lookup_and_no_prediction() -> None:
    runtime = Runtime(ToyEngine(), None, toy_config(), curve=toy_curve())
    try:
        with pytest.raises(RequestError, match="prediction needs a checkpoint with a tokenizer"):
            runtime.generate({"input_ids": [3], "prediction": "a"})
        assert runtime.generate({"input_ids": [3, 4, 3, 4], "max_tokens": 3, "prompt_lookup": True}).token_ids
    finally:
        runtime.close()


def test_a_request_that_asks_for_none_has_none() -> None:
    with running(ToyEngine()) as runtime:
        params = runtime.check({"input_ids": [3]}, print).params
        assert free_drafts_of(params, [3], runtime.services) is None

"""The prefix cache: pages found by their text alone, budget, forgetting; prompts that are not read twice."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trimode.api.answer import Chunk
from trimode.scheduling.prefix_cache import PAGE, PrefixCache

from tests.support.arrays import Array
from tests.support.toy import ToyEngine, toy_runtime

PAGE_BYTES = PAGE * 4


def kept(cache: PrefixCache, tokens: list[int]) -> None:
    cache.keep(tokens, lambda start, count: np.array(tokens[start : start + count], dtype=np.float32))


def found(cache: PrefixCache, tokens: list[int]) -> list[int]:
    return [int(token) for page in cache.find(tokens) for token in page]


TEXTS = st.lists(st.integers(0, 1), max_size=5 * PAGE)


@settings(max_examples=60, deadline=None)
@given(st.lists(TEXTS, max_size=6), TEXTS, st.integers(1, 40))
def test_what_is_found_is_the_beginning_of_the_prompt(texts: list[list[int]], prompt: list[int], pages: int) -> None:
    cache = PrefixCache(pages * PAGE_BYTES)
    for text in texts:
        kept(cache, text)
        assert cache.size <= pages * PAGE_BYTES
    got = found(cache, prompt)
    assert got == prompt[: len(got)] and len(got) % PAGE == 0
    assert not prompt or len(got) < len(prompt)


def test_the_longest_beginning_is_found_page_by_page() -> None:
    cache = PrefixCache(10**6)
    kept(cache, [1] * (3 * PAGE + 5))
    assert found(cache, [1] * (2 * PAGE) + [2] * PAGE) == [1] * (2 * PAGE)
    assert found(cache, [1] * (3 * PAGE)) == [1] * (2 * PAGE)  # one token has to be read, for its logits
    assert found(cache, [1] * (3 * PAGE + 1)) == [1] * (3 * PAGE)
    assert found(cache, [2, *[1] * 60]) == []


def test_a_page_is_only_read_once() -> None:
    cache, reads = PrefixCache(10**6), []

    def read(start: int, count: int) -> Array:
        reads.append(start)
        return np.zeros(count, dtype=np.float32)

    cache.keep([1] * (2 * PAGE), read)
    cache.keep([1] * (3 * PAGE), read)
    assert reads == [0, PAGE, 2 * PAGE]


def test_what_was_used_longest_ago_goes_first_and_ends_before_beginnings() -> None:
    cache = PrefixCache(3 * PAGE_BYTES)
    kept(cache, [1] * (2 * PAGE))
    kept(cache, [2] * (2 * PAGE))
    assert len(cache.find([1] * 99)) == 1  # its second page made room
    assert len(cache.find([2] * 99)) == 2


def test_no_page_is_read_that_would_be_the_first_to_go() -> None:
    cache, reads = PrefixCache(3 * PAGE_BYTES), []

    def read(start: int, count: int) -> Array:
        reads.append(start)
        return np.zeros(count, dtype=np.float32)

    cache.keep([1] * (9 * PAGE), read)
    assert reads == [0, PAGE, 2 * PAGE] and cache.size == 3 * PAGE_BYTES
    cache.keep([1] * (9 * PAGE), read)
    assert len(reads) == 3
    cache.keep([2] * (2 * PAGE), read)
    assert len(reads) == 5 and len(cache.find([1] * 99)) == 1


def test_without_a_budget_nothing_is_kept() -> None:
    cache = PrefixCache(0)
    kept(cache, [1] * 99)
    assert not cache.enabled and cache.find([1] * 99) == []


@pytest.mark.parametrize("mode", ["auto", "autoregressive", "diffusion", "self_speculation"])
def test_a_prompt_that_begins_like_an_earlier_one_is_not_read_again(mode: str) -> None:
    head = [3 + at % 40 for at in range(4 * PAGE)]
    given = {"mode": mode, "max_tokens": 9, "end_id": -1, "seed": 1}
    first, second = {**given, "input_ids": [*head, 5, 6]}, {**given, "input_ids": [*head, 7]}
    alone = toy_runtime(ToyEngine(), prefix_cache_mib=0)
    runtime = toy_runtime(ToyEngine())
    try:
        for asked, cached in ((first, 0), (second, 4 * PAGE), (first, 4 * PAGE)):
            answer = runtime.generate(asked)
            assert answer.counters.cached_tokens == cached
            assert answer.token_ids == alone.generate(asked).token_ids
        assert (runtime.stats().cached_tokens, runtime.stats().prompt_tokens) == (8 * PAGE, 12 * PAGE + 5)
    finally:
        runtime.close()
        alone.close()


def test_a_turn_of_a_chat_finds_the_answer_before() -> None:
    prompt = [3 + at % 40 for at in range(PAGE)]
    runtime = toy_runtime(ToyEngine())
    try:
        given = {"mode": "autoregressive", "end_id": -1, "seed": 1}
        answer = runtime.generate({**given, "input_ids": prompt, "max_tokens": 2 * PAGE + 1}).token_ids
        again = runtime.generate({**given, "input_ids": [*prompt, *answer, 4, 5], "max_tokens": 1})
        assert again.counters.cached_tokens == 3 * PAGE
    finally:
        runtime.close()


def test_prompts_alike_that_come_together_are_read_once() -> None:
    engine = ToyEngine()
    runtime = toy_runtime(engine, prefill_chunk=999)
    head = [3 + at % 40 for at in range(5 * PAGE)]
    done: list[int] = []
    try:
        over = threading.Semaphore(0)

        def sink(chunk: Chunk) -> None:
            done.append(chunk.counters.cached_tokens)
            over.release()

        for last in (7, 8, 9):
            given = {"input_ids": [*head, last], "mode": "autoregressive", "max_tokens": 1, "end_id": -1, "seed": 1}
            runtime.submit(given, sink)
        for _ in range(3):
            assert over.acquire(timeout=60)
        assert sorted(done) == [0, 5 * PAGE, 5 * PAGE]
    finally:
        runtime.close()

"""The jobs that fill a gap: of a size, from the left side alone, and what is left to try where nothing fits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from trimode.api.fields import Mode
from trimode.requests.gap_jobs import GapJobs
from trimode.requests.gap_search import GapSearch
from trimode.requests.request import Request
from trimode.requests.seams import GapContext
from trimode.runtime import Runtime

from tests.support.toy import ToyEngine, running


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    with running(ToyEngine()) as made:
        yield made


def test_jobs_are_of_one_request_and_none_is_left_where_a_free_gap_was_tried(runtime: Runtime) -> None:
    params, owner = runtime.check({"text_input": "ab", "suffix": "cd"}, print).params, object()
    made = GapJobs(Request(params, lambda chunk: None, None), runtime.services, owner, lambda *args: None)
    assert runtime.tokenizer is not None
    context = GapContext(runtime.tokenizer, "ab", "cd", block=8, end_id=None, capacity=512)
    gap = GapSearch.of(context, (3,), 3)
    filling, continuation = made.filling(gap, context.starts[0], 3), made.continuation(gap, context.starts[0], 5)
    assert filling.owner is continuation.owner is owner
    assert filling.sequence.infill is not None and filling.sequence.infill.size == 3
    assert np.array_equal(filling.sequence.infill.right[:2], runtime.tokenizer.encode("cd"))
    assert continuation.sequence.params.mode is Mode.SELF_SPECULATION
    assert continuation.sequence.params.max_tokens == 5
    assert len(made.last_hope(gap)) == (1 if len(context.starts) > 1 else 0)
    assert made.last_hope(gap) == []


def test_what_is_given_gets_the_probabilities_that_the_model_has(runtime: Runtime) -> None:
    params, done = (
        runtime.check({"text_input": "ab", "suffix": "cd", "return_log_probs": True}, print).params,
        threading.Event(),
    )
    tokenizer, engine = runtime.tokenizer, runtime.engine
    assert tokenizer is not None and isinstance(engine, ToyEngine)
    made = GapJobs(Request(params, lambda chunk: None, None), runtime.services, object(), lambda *args: done.set())
    context = GapContext(tokenizer, "ab", "cd", block=8, end_id=None, capacity=512)
    given, start = tokenizer.encode("xyz"), context.starts[-1]
    job = made.filling(GapSearch.of(context, (3,), 3), start, 3, given)
    runtime.services.queue.submit(job)
    assert done.wait(60)
    expected = []
    for at, token in enumerate(given):
        logits = engine.causal_logits([*start.prompt, *given[:at]]).astype(np.float64)
        expected.append(float(logits[token] - np.log(np.exp(logits).sum())))
    assert job.sequence.log_probs == pytest.approx(expected, abs=1e-4)
    assert job.sequence.tokens == given

"""Log-probabilities of answers, of the likeliest other tokens, and of prompts, in every mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from trimode.api.fields import Mode

from tests.support.refused import refused
from tests.support.runtimes import Build
from tests.support.saying_engine import PROMPT, SAID, TOKENIZER, SayingEngine
from tests.support.sink import Sink
from tests.support.toy import MASK, ToyEngine

MODES = [str(mode) for mode in Mode]
LONG = [3 + at % 200 for at in range(150)]


def log_softmax(logits: Any) -> Any:
    wide = logits.astype(np.float64)
    return wide - np.log(np.exp(wide - wide.max()).sum()) - wide.max()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stream", [False, True])
def test_the_likeliest_tokens_stand_beside_every_token(build: Build, mode: str, stream: bool) -> None:
    asked = {"input_ids": PROMPT, "mode": mode, "max_tokens": 20, "stream": stream}
    answer = build(SayingEngine(hit=1.0)).generate({**asked, "return_log_probs": True, "top_log_probs": 2})
    assert len(answer.top) == len(answer.token_ids)
    assert [ids[0] for ids, _ in answer.top] == answer.token_ids
    assert all(values[0] == pytest.approx(mine, abs=1e-5) and values[0] > values[1] for (_, values), mine in
               zip(answer.top, answer.log_probs, strict=True))  # fmt: skip


def test_causal_ones_of_a_diffused_answer_are_those_of_the_causal_model(build: Build) -> None:
    runtime = build(ToyEngine())
    asked = {"input_ids": PROMPT, "mode": "diffusion", "max_tokens": 24, "return_log_probs": True, "top_log_probs": 4}
    answer = runtime.generate({**asked, "log_probs_kind": "causal"})
    engine = ToyEngine()
    for at, (ids, values) in enumerate(answer.top):
        expected = log_softmax(engine.causal_logits([*PROMPT, *answer.token_ids[:at]]))
        without = expected.copy()
        without[MASK] = -np.inf
        assert ids == np.argsort(-without, kind="stable")[:4].tolist()
        assert values == pytest.approx(expected[ids].tolist(), abs=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_a_prompt_has_log_probabilities_whatever_is_cached(build: Build, mode: str) -> None:
    runtime = build(ToyEngine(), prefill_chunk=48)
    engine = ToyEngine()
    plain: dict[str, Any] = {"input_ids": LONG, "mode": mode, "max_tokens": 12, "seed": 1}
    for asked in (plain, {**plain, "return_prompt_log_probs": True, "top_log_probs": 3, "return_log_probs": True}):
        answer = runtime.generate(asked)
    assert answer.prompt is not None and answer.prompt.ids == LONG and answer.counters.cached_tokens == 0
    assert answer.token_ids == runtime.generate(plain).token_ids
    for at in range(1, len(LONG)):
        expected = log_softmax(engine.causal_logits(LONG[:at]))
        assert answer.prompt.log_probs[at - 1] == pytest.approx(expected[LONG[at]], abs=1e-5)
        ids, values = answer.prompt.top[at - 1]
        assert len(ids) == 3 and values == pytest.approx(expected[ids].tolist(), abs=1e-5)


def test_they_come_with_the_first_chunk_of_a_stream(build: Build) -> None:
    sink = Sink()
    asked = {"text_input": "ab", "mode": "autoregressive", "stream": True, "return_prompt_log_probs": True}
    build(SayingEngine(SAID)).submit(asked, sink)
    assert sink.last.finish_reason == "stop"
    first, *others = [chunk.prompt for chunk in sink.chunks]
    assert first is not None and first.ids == TOKENIZER.encode("ab") and len(first.log_probs) == 1
    assert first.top == [] and not any(others)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"top_log_probs": 3}, "top_log_probs"),
        ({"top_log_probs": 21, "return_log_probs": True}, "top_log_probs"),
        ({"suffix": "b", "return_prompt_log_probs": True}, "return_prompt_log_probs"),
    ],
)
def test_what_cannot_be_is_refused(build: Build, given: dict[str, Any], field: str) -> None:
    assert refused(build(ToyEngine()), text_input="a", **given).field == field

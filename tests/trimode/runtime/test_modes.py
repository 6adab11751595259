"""A checkpoint that was not trained to denoise: auto drafts only with an adapter that lets it, and nothing denoises."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trimode.api.fields import Mode
from trimode.bundle.manifest import CAUSAL_MODES, DRAFTING_MODES
from trimode.config import ServerConfig
from trimode.errors import ConfigError
from trimode.runtime import Runtime

from tests.support.refused import refused
from tests.support.saying_engine import PROMPT
from tests.support.toy import ToyEngine, byte_tokenizer, toy_curve


def causal(modes: tuple[str, ...] = CAUSAL_MODES) -> ToyEngine:
    engine = ToyEngine(hit=1.0, peak=40)  # every draft would be right
    engine.manifest = replace(engine.manifest, modes=modes)
    return engine


def test_auto_drafts_nothing_and_gives_the_greedy_text() -> None:
    engine = causal()
    runtime = Runtime(engine, byte_tokenizer(), ServerConfig(), curve=toy_curve())
    try:
        answer = runtime.generate({"input_ids": PROMPT, "max_tokens": 60, "end_id": -1})
        assert list(answer.token_ids) == engine.greedy(PROMPT, 60)
        assert answer.auto is not None and set(answer.auto.cycles) == {"autoregressive"}
        assert all(row.sees == "causal" for row in engine.rows)
        error = refused(runtime, input_ids=PROMPT, mode="diffusion")
        assert (error.field, error.error_type) == ("mode", "not_applicable")
    finally:
        runtime.close()


def test_a_default_mode_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="default_mode must be auto or autoregressive"):
        Runtime(causal(), byte_tokenizer(), ServerConfig(default_mode=Mode.DIFFUSION), curve=toy_curve())


def test_with_an_adapter_that_drafts_auto_drafts_and_the_text_stays_the_greedy_one() -> None:
    engine = causal(DRAFTING_MODES)
    runtime = Runtime(engine, byte_tokenizer(), ServerConfig(), curve=toy_curve())
    try:
        answer = runtime.generate({"input_ids": PROMPT, "max_tokens": 60, "end_id": -1})
        assert list(answer.token_ids) == engine.greedy(PROMPT, 60)
        assert answer.auto is not None and set(answer.auto.cycles) - {"autoregressive"}
        drafted = {"input_ids": PROMPT, "max_tokens": 20, "end_id": -1, "mode": "self_speculation", "block_length": 4}
        assert list(runtime.generate(drafted).token_ids) == engine.greedy(PROMPT, 20)
    finally:
        runtime.close()


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("mode", {"mode": "diffusion", "input_ids": PROMPT}),
        ("auto_allow", {"auto_allow": ["diffusion"], "input_ids": PROMPT}),
        ("suffix", {"text_input": "a", "suffix": "b"}),
        ("text", {"text": "abc"}),
    ],
)
def test_with_such_an_adapter_what_denoises_is_refused(field: str, given: dict[str, object]) -> None:
    runtime = Runtime(causal(DRAFTING_MODES), byte_tokenizer(), ServerConfig(), curve=toy_curve())
    try:
        error = refused(runtime, **given)
        assert (error.field, error.error_type) == (field, "not_applicable")
    finally:
        runtime.close()

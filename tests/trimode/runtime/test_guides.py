"""Answers that must match something, from a request to its text, in every mode."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from trimode.api.answer import Chunk
from trimode.api.fields import Mode
from trimode.decoding.modes import quadratic
from trimode.grammar import compiler
from trimode.grammar.need import MOST
from trimode.runtime import Runtime

from tests.support.refused import refused
from tests.support.runtimes import Build
from tests.support.saying_engine import PROMPT
from tests.support.sink import Sink
from tests.support.toy import EOS, ToyEngine, running

pytestmark = pytest.mark.subprocess

MODES = [str(mode) for mode in Mode]
EXACT = ["self_speculation", "auto"]
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "tags": {"type": "array", "items": {"enum": ["é", "b"]}, "maxItems": 3}},
    "required": ["n", "tags"],
    "additionalProperties": False,
}
RECORD = {"guided_decoding_guide_type": "json_schema", "guided_decoding_guide": json.dumps(SCHEMA)}
GREEDY: dict[str, Any] = {"temperature": 0.0}
DRAWN: dict[str, Any] = {"temperature": 1.0, "top_p": 0.9, "min_p": 0.01, "seed": 5}
PENALISED: dict[str, Any] = {"repetition_penalty": 1.3, "frequency_penalty": 0.5}
BIASED: dict[str, Any] = {"logit_bias": {"20": 5, "60": -3}, "min_tokens": 12, "temperature": 0.7, "seed": 2}


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    with running(ToyEngine(eos_rate=0.05)) as made:
        yield made


def ask(runtime: Runtime, mode: str, **asked: Any) -> Any:
    return runtime.generate({"input_ids": PROMPT, "max_tokens": 60, "mode": mode, **RECORD, **asked})


def _done(sink: Sink) -> list[Chunk]:
    assert sink.last.error is None
    return sink.chunks


@pytest.mark.parametrize("how", [GREEDY, DRAWN, PENALISED, BIASED], ids=["greedy", "drawn", "penalised", "biased"])
@pytest.mark.parametrize("mode", MODES)
def test_every_answer_matches_and_says_so(runtime: Runtime, mode: str, how: dict[str, Any]) -> None:
    answer = ask(runtime, mode, **how)
    value = json.loads(answer.text)
    assert set(value) == {"n", "tags"}
    assert isinstance(value["n"], int)
    assert set(value["tags"]) <= {"é", "b"}
    assert answer.finish_reason == "stop"


@pytest.mark.parametrize("how", [GREEDY, DRAWN, PENALISED, BIASED], ids=["greedy", "drawn", "penalised", "biased"])
@pytest.mark.parametrize("mode", EXACT)
def test_drafts_give_the_text_of_single_tokens(runtime: Runtime, mode: str, how: dict[str, Any]) -> None:
    for prompt in ([3, 4], [9], [20, 30, 40]):
        one = ask(runtime, "autoregressive", input_ids=prompt, **how)
        knobs: list[dict[str, Any]] = [{}, {"speculation": "quadratic"}] if mode == "self_speculation" else [{}]
        for other in [ask(runtime, mode, input_ids=prompt, **how, **more) for more in knobs]:
            assert (other.text, other.token_ids) == (one.text, one.token_ids)


@pytest.mark.parametrize("how", [GREEDY, DRAWN, BIASED], ids=["greedy", "drawn", "biased"])
def test_quadratic_drafts_follow_too(build: Build, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]) -> None:
    """The same text from fewer passes, since more of a draft is accepted."""
    asked = {"speculation": "quadratic", **how}
    one = ask(build(ToyEngine(hit=0.7)), "self_speculation", **asked)
    monkeypatch.setattr(quadratic, "_follow", lambda *args: None)
    other = ask(build(ToyEngine(hit=0.7)), "self_speculation", **asked)
    assert one.token_ids == other.token_ids
    assert one.counters.forwards < other.counters.forwards


@pytest.mark.parametrize("mode", MODES)
def test_neighbours_change_nothing(runtime: Runtime, mode: str) -> None:
    alone = ask(runtime, mode, **DRAWN)
    sinks = [Sink() for _ in range(4)]
    others: list[dict[str, Any]] = [
        {},
        {"guided_decoding_guide_type": "json", "guided_decoding_guide": None},
        {"seed": 7},
        DRAWN,
    ]
    for sink, other in zip(sinks, others, strict=True):
        asked = {**RECORD, **DRAWN, **other}
        runtime.submit({"input_ids": PROMPT, "max_tokens": 60, "mode": mode, **asked}, sink)
    assert "".join(chunk.text for chunk in _done(sinks[-1])) == alone.text


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("most", [1, 6, 15])
def test_where_the_text_cannot_fit_its_beginning_comes(runtime: Runtime, mode: str, most: int) -> None:
    answer = ask(runtime, mode, max_tokens=most)
    assert answer.finish_reason == "length"
    assert answer.text.startswith("{")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("most", [23, 24, 30])
def test_a_text_ends_in_time(runtime: Runtime, mode: str, most: int) -> None:
    for seed in range(6):
        answer = ask(runtime, mode, max_tokens=most, temperature=1.0, seed=seed)
        assert set(json.loads(answer.text)) == {"n", "tags"}
        assert answer.finish_reason == "stop"


@pytest.mark.parametrize("mode", MODES)
def test_other_kinds_hold_too(runtime: Runtime, mode: str) -> None:
    kinds: dict[str, tuple[str, Callable[[str], object]]] = {
        "regex": ("[ab]{2}-[0-9]+", lambda text: re.fullmatch("[ab]{2}-[0-9]+", text)),
        "choice": ('["yes", "no"]', lambda text: text in ("yes", "no")),
        "ebnf_grammar": ('root ::= "(" root ")" | "x"\n', lambda text: text.count("(") == text.count(")")),
    }
    for kind, (guide, holds) in kinds.items():
        answer = ask(runtime, mode, guided_decoding_guide_type=kind, guided_decoding_guide=guide, max_tokens=20)
        assert holds(answer.text)
        assert answer.finish_reason == "stop"


@pytest.mark.parametrize("mode", MODES)
def test_a_thought_is_free_and_the_answer_after_it_is_not(build: Build, mode: str) -> None:
    runtime = build(ToyEngine(eos_rate=0.3))
    answer = ask(runtime, mode, max_thinking_tokens=7, **DRAWN)
    thought, _, text = answer.text.partition("</think>")
    assert set(json.loads(text)) == {"n", "tags"}
    assert EOS not in answer.token_ids[:7]
    assert thought


def test_what_is_dictated_costs_no_pass(runtime: Runtime) -> None:
    fixed = {"guided_decoding_guide_type": "choice", "guided_decoding_guide": '["one long text that is given"]'}
    for mode in MODES:
        answer = ask(runtime, mode, **fixed)
        assert answer.text == "one long text that is given"
        assert answer.counters.prefill_forwards == 1
        counts = answer.counters
        assert (counts.decode_forwards, counts.draft_forwards, counts.denoise_forwards) == (0, 0, 0)


@pytest.mark.parametrize("mode", ["diffusion", "self_speculation"])
def test_the_rule_that_is_used_is_said(runtime: Runtime, mode: str) -> None:
    sink = Sink()
    asked = {"input_ids": PROMPT, "mode": mode, "reveal": "entropy", **RECORD}
    handle = runtime.submit({**asked, "denoise_steps": 4}, sink)
    _done(sink)
    assert handle.params.echo()["reveal"] == "leftmost"
    assert handle.params.echo()["guided_decoding_guide_type"] == "json_schema"


def test_blocks_that_are_reconsidered_still_match(runtime: Runtime) -> None:
    revised = {"revise_rounds": 3, "revise_fraction": 0.5, "accept": "always", "temperature": 1.0}
    for seed in range(8):
        answer = ask(runtime, "diffusion", **revised, seed=seed)
        assert set(json.loads(answer.text)) == {"n", "tags"}


def test_stop_words_and_log_probabilities_keep_their_meaning(runtime: Runtime) -> None:
    answer = ask(runtime, "autoregressive", stop_words=['"tags"'], return_log_probs=True)
    assert '"tags"' not in answer.text
    assert answer.finish_reason == "stop"
    assert len(answer.log_probs) == len(answer.token_ids)
    assert answer.log_probs[0] == 0.0, "what is dictated is certain"


def test_a_grammar_that_is_refused_is_refused_before_anything_runs(runtime: Runtime) -> None:
    calls = runtime.engine.calls
    error = refused(runtime, input_ids=PROMPT, **{**RECORD, "guided_decoding_guide": '{"not": {}}'})
    assert (error.field, error.error_type) == ("guided_decoding_guide", "bad_grammar")
    assert runtime.engine.calls == calls


def test_rules_that_leave_nothing_of_the_grammar_are_an_error(runtime: Runtime) -> None:
    with pytest.raises(Exception, match="must leave a token to choose"):
        ask(runtime, "autoregressive", allowed_token_ids=[5, 6])


@pytest.mark.parametrize("mode", MODES)
def test_the_likeliest_tokens_are_the_models_own_at_each_place(runtime: Runtime, mode: str) -> None:
    answer = ask(runtime, mode, return_log_probs=True, top_log_probs=2)
    assert set(json.loads(answer.text)) == {"n", "tags"}
    assert [len(ids) for ids, _ in answer.top] == [2] * len(answer.token_ids)


@pytest.mark.parametrize("how", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_texts_are_the_same_where_their_end_is_looked_at_from_the_beginning(
    build: Build, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    asked = [(mode, prompt) for mode in MODES for prompt in ([3, 4], [9], [20, 30, 40])]
    quick = build(ToyEngine(eos_rate=0.05))
    found = [ask(quick, mode, input_ids=prompt, max_tokens=120, **how).text for mode, prompt in asked]
    assert quick.services.grammars is not None
    (made,) = quick.services.grammars._kept.values()
    assert made.need < 100
    monkeypatch.setattr(compiler, "most_needed", lambda source, shortest: MOST)
    careful = build(ToyEngine(eos_rate=0.05))
    assert [ask(careful, mode, input_ids=prompt, max_tokens=120, **how).text for mode, prompt in asked] == found

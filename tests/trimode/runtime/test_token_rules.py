"""Fields that say which tokens may be chosen and which end the answer, from a request to its text, in every mode."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trimode.api.answer import Chunk
from trimode.api.fields import Mode

from tests.support.refused import refused
from tests.support.requests import requests
from tests.support.runtimes import Build
from tests.support.saying_engine import PROMPT, SAID, TOKENIZER, SayingEngine
from tests.support.sink import Sink
from tests.support.toy import EOS, VOCAB, ToyEngine, running

MODES = [str(mode) for mode in Mode]
SPACE = TOKENIZER.encode(" ")[0]


def said(build: Build, mode: str, text: str = SAID, **asked: Any) -> Chunk:
    return build(SayingEngine(text, hit=1.0)).generate({"input_ids": PROMPT, "mode": mode, **asked})


@settings(max_examples=80, deadline=None)
@given(requests(), st.lists(st.integers(2, VOCAB - 1), min_size=1, max_size=20, unique=True))
def test_only_allowed_tokens_come_in_any_mode(asked: dict[str, Any], allowed: list[int]) -> None:
    asked = {**asked, "max_thinking_tokens": None, "bad_words": None, "bad_token_ids": None}
    with running(ToyEngine(eos_rate=0.1)) as runtime:
        answer = runtime.generate({**asked, "allowed_token_ids": allowed, "logit_bias": None})
    assert set(answer.token_ids) <= set(allowed)
    assert answer.finish_reason == "length"


@settings(max_examples=80, deadline=None)
@given(requests(), st.data())
def test_bad_words_never_come_in_any_mode(asked: dict[str, Any], data: st.DataObject) -> None:
    """Words that the free answer holds, so that there is something to avoid."""
    asked = {"seed": 1, **asked, "max_thinking_tokens": None}
    with running(ToyEngine(eos_rate=0.01)) as runtime:
        text = runtime.generate({**asked, "bad_words": None}).text.replace("\N{REPLACEMENT CHARACTER}", "")
        starts = data.draw(st.lists(st.integers(0, max(len(text) - 1, 0)), min_size=1, max_size=4))
        words = [text[at : at + data.draw(st.integers(1, 3))] for at in starts] if text else ["a"]
        held = runtime.generate({**asked, "bad_words": words, "logit_bias": {"3": 4, "200": -2}})
    assert not any(word in held.text for word in words)


@settings(max_examples=80, deadline=None)
@given(requests(), st.integers(1, 30))
def test_no_answer_ends_before_its_least_length(asked: dict[str, Any], least: int) -> None:
    asked = {**asked, "stop_token_ids": [7], "min_tokens": min(least, asked["max_tokens"])}
    with running(ToyEngine(eos_rate=0.4)) as runtime:
        answer = runtime.generate(asked)
    assert len(answer.token_ids) >= asked["min_tokens"]
    ends = [at for at, token in enumerate(answer.token_ids) if token in (EOS, 7)]
    assert ends == ([len(answer.token_ids) - 1] if answer.finish_reason == "stop" else [])


@pytest.mark.parametrize("mode", MODES)
def test_a_bias_moves_the_choice_and_not_the_log_probability(build: Build, mode: str) -> None:
    first, wanted = TOKENIZER.encode(SAID)[0], TOKENIZER.encode("x")[0]
    asked: dict[str, Any] = {"max_tokens": 1, "return_log_probs": True}
    free = said(build, mode, **asked)
    biased = said(build, mode, **asked, logit_bias={str(wanted): 50, str(first): -50})
    assert (free.token_ids, biased.token_ids) == ([first], [wanted])
    assert biased.log_probs[0] == pytest.approx(free.log_probs[0] - 9, abs=1e-4)  # the engine gives 9 and 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_token_ends_the_answer_and_is_not_shown(build: Build, mode: str, stream: bool) -> None:
    asked: dict[str, Any] = {"stop_token_ids": [SPACE], "stream": stream}
    answer = said(build, mode, **asked)
    assert (answer.text, answer.finish_reason, answer.token_ids[-1]) == ("één", "stop", SPACE)
    assert said(build, mode, **asked, include_stop_str_in_output=True).text == "één "


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_word_may_stay_in_the_text(build: Build, mode: str, stream: bool) -> None:
    asked: dict[str, Any] = {"stop_words": ["n 🙂"], "include_stop_str_in_output": True, "stream": stream}
    assert said(build, mode, **asked).text == "één 🙂"


@pytest.mark.parametrize("mode", MODES)
def test_stop_words_do_not_count_before_the_least_length(build: Build, mode: str) -> None:
    asked: dict[str, Any] = {"text": "ab-ab-ab", "stop_words": ["ab"]}
    assert said(build, mode, **asked, min_tokens=1).text == ""  # one that begins before it still counts
    assert said(build, mode, **asked, min_tokens=2).text == "ab-"
    assert said(build, mode, **asked, min_tokens=5).text == "ab-ab-"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stream", [False, True])
def test_special_tokens_are_shown_if_asked_for(build: Build, mode: str, stream: bool) -> None:
    asked = {"input_ids": PROMPT, "mode": mode, "end_id": -1, "max_tokens": 3, "stream": stream}
    runtime = build(SayingEngine("ab", hit=1.0))
    assert runtime.generate(asked).text == "ab"
    assert runtime.generate({**asked, "skip_special_tokens": False}).text == "ab<eos>"
    ended = {**asked, "end_id": EOS, "skip_special_tokens": False}
    assert runtime.generate(ended).text == "ab"
    assert runtime.generate({**ended, "include_stop_str_in_output": True}).text == "ab<eos>"


def test_a_watched_block_shows_special_tokens_too(build: Build) -> None:
    sink = Sink()
    asked = {"input_ids": PROMPT, "mode": "diffusion", "end_id": -1, "max_tokens": 3, "skip_special_tokens": False}
    build(SayingEngine("ab", hit=1.0)).submit({**asked, "stream": True, "stream_provisional": True}, sink)
    assert sink.last.finish_reason == "length"
    blocks = [block for chunk in sink.chunks for block in chunk.passes]
    assert blocks[-1].text == "ab<eos>"


@pytest.mark.parametrize("mode", MODES)
def test_rules_that_leave_no_token_end_the_request_by_name(build: Build, mode: str) -> None:
    token = TOKENIZER.encode("x")[0]
    runtime = build(SayingEngine(hit=1.0))
    asked = {"input_ids": PROMPT, "mode": mode, "allowed_token_ids": [token], "bad_words": ["xxx"]}
    error = refused(runtime, **asked)
    assert (error.field, error.error_type) == ("allowed_token_ids, bad_words", "not_applicable")
    assert runtime.generate({**asked, "max_tokens": 2}).text == "xx"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"allowed_token_ids": [10**6]}, "allowed_token_ids"),
        ({"bad_token_ids": [10**6]}, "bad_token_ids"),
        ({"logit_bias": {str(10**6): 1}}, "logit_bias"),
        ({"stop_token_ids": [10**6]}, "stop_token_ids"),
        ({"stop_token_ids": [1]}, "stop_token_ids"),  # the mask
        ({"min_tokens": 5, "max_tokens": 4}, "min_tokens"),
        ({"min_tokens": 511}, "min_tokens"),
        ({"min_tokens": 5, "min_length": 5}, "min_length"),
    ],
)
def test_values_that_the_model_cannot_take_are_refused(build: Build, given: dict[str, Any], field: str) -> None:
    assert refused(build(ToyEngine()), input_ids=PROMPT, **given).field == field


def test_a_least_length_raises_the_default_of_the_most(build: Build) -> None:
    answer = build(ToyEngine()).generate({"input_ids": PROMPT, "min_tokens": 200, "mode": "autoregressive"})
    assert len(answer.token_ids) == 200


def test_gaps_are_filled_by_the_rules(build: Build) -> None:
    allowed = TOKENIZER.encode("xyz")
    runtime = build(ToyEngine())
    for size in ({"infill_tokens": 6}, {}):
        asked = {"text_input": "ab", "suffix": "cd", "max_tokens": 8, **size, "seed": 4}
        filled = runtime.generate({**asked, "allowed_token_ids": allowed, "bad_words": ["xx", "yy", "zz"]}).text
        assert set(filled) <= set("xyz")
        assert not any(word in filled for word in ("xx", "yy", "zz"))


def test_a_revision_puts_in_what_the_rules_allow(build: Build) -> None:
    allowed = TOKENIZER.encode("xyz")
    asked = {"text": "abcdefgh", "accept": "always", "revise_fraction": 1.0, "revise_rounds": 1, "seed": 4}
    answer = build(ToyEngine()).generate({**asked, "allowed_token_ids": allowed, "bad_words": ["xx", "yy", "zz"]})
    assert answer.edits and set(answer.text) <= set("abcdefghxyz")
    assert not any(word in answer.text for word in ("xx", "yy", "zz"))

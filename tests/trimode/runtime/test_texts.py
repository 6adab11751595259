"""The text of an answer, whole and in chunks, and where it ends; on an engine that says a given text."""

from __future__ import annotations

import pytest
from trimode.api.fields import Mode

from tests.support.runtimes import Build
from tests.support.saying_engine import PROMPT, SAID, TOKENIZER, SayingEngine
from tests.support.sink import Sink
from tests.support.toy import EOS, VOCAB

MODES = [str(mode) for mode in Mode]


@pytest.mark.parametrize("mode", MODES)
def test_the_answer_is_the_text_without_the_end_token(build: Build, mode: str) -> None:
    answer = build(SayingEngine(hit=1.0)).generate({"input_ids": PROMPT, "mode": mode})
    assert (answer.text, answer.finish_reason) == (SAID, "stop")
    assert answer.token_ids == [*TOKENIZER.encode(SAID), EOS]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("word", "text"), [("🙂", "één "), ("n 🙂 s", "éé"), ("é", ""), ("p", "één 🙂 sto")])
def test_a_stop_word_ends_the_answer_before_it(build: Build, mode: str, stream: bool, word: str, text: str) -> None:
    runtime = build(SayingEngine(hit=1.0))
    answer = runtime.generate({"input_ids": PROMPT, "mode": mode, "stop_words": [word], "stream": stream})
    assert (answer.text, answer.finish_reason) == (text, "stop")
    assert TOKENIZER.decode(answer.token_ids) == text + word
    assert answer.counters.output_tokens == len(answer.token_ids)


def test_a_stop_word_frees_its_slot_at_once(build: Build) -> None:
    runtime = build(SayingEngine("abcdef" * 20), max_slots=1)
    answer = runtime.generate({"input_ids": PROMPT, "mode": "autoregressive", "stop_words": ["c"]})
    assert answer.counters.forwards == 2
    assert runtime.stats().running == 0


@pytest.mark.parametrize("mode", MODES)
def test_stream_chunks_join_to_the_text_and_never_split_a_character(build: Build, mode: str) -> None:
    sink = Sink()
    build(SayingEngine(hit=1.0)).submit({"input_ids": PROMPT, "mode": mode, "stream": True}, sink)
    assert sink.last.finish_reason == "stop"
    assert "".join(chunk.text for chunk in sink.chunks) == SAID
    assert not any("\N{REPLACEMENT CHARACTER}" in chunk.text for chunk in sink.chunks)
    assert [token for chunk in sink.chunks for token in chunk.token_ids] == [*TOKENIZER.encode(SAID), EOS]


def test_an_autoregressive_stream_sends_each_character_when_it_is_there(build: Build) -> None:
    sink = Sink()
    asked = {"input_ids": PROMPT, "mode": "autoregressive", "stream": True}
    build(SayingEngine("aé🙂b")).submit(asked, sink)
    assert sink.last.finish_reason == "stop"
    assert [chunk.text for chunk in sink.chunks] == ["a", "é", "🙂", "b", ""]


def test_a_stream_with_token_ids_sends_every_commit(build: Build) -> None:
    sink = Sink()
    asked = {"input_ids": PROMPT, "mode": "autoregressive", "stream": True, "return_token_ids": True}
    build(SayingEngine("é")).submit(asked, sink)
    assert sink.last.finish_reason == "stop"
    assert [len(chunk.token_ids) for chunk in sink.chunks] == [1, 1, 1]


def test_without_stream_there_is_one_chunk(build: Build) -> None:
    sink = Sink()
    build(SayingEngine()).submit({"input_ids": PROMPT}, sink)
    assert sink.last.text == SAID
    assert len(sink.chunks) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_the_prompts_text_may_come_in_front_once(build: Build, stream: bool) -> None:
    runtime = build(SayingEngine())
    asked = {"text_input": "Q:", "stream": stream, "exclude_input_in_output": False}
    assert runtime.generate(asked).text == "Q:" + SAID


def test_log_probs_stand_beside_their_tokens(build: Build) -> None:
    answer = build().generate({"input_ids": PROMPT, "max_tokens": 9, "return_log_probs": True, "stream": True})
    assert len(answer.log_probs) == len(answer.token_ids)
    assert all(value <= 0 for value in answer.log_probs)


def test_messages_go_through_the_template(build: Build) -> None:
    sink = Sink()
    runtime = build(template="{{ messages[0].content }}|{{ enable_thinking }}")
    asked = {"messages": [{"role": "user", "content": "hi"}], "enable_thinking": True, "max_tokens": 1}
    runtime.submit({**asked, "exclude_input_in_output": False}, sink)
    assert sink.last.num_input_tokens == len("hi|True")
    assert sink.chunks[0].text.startswith("hi|True")


def test_the_same_seed_gives_the_same_answer(build: Build) -> None:
    runtime = build()
    asked = {"input_ids": PROMPT, "temperature": 1.5, "seed": 5, "max_tokens": 20}
    assert runtime.generate(asked).token_ids == runtime.generate(asked).token_ids
    assert runtime.generate(asked).token_ids != runtime.generate({**asked, "seed": 6}).token_ids


def test_the_end_of_thinking_comes_from_the_tokenizer(build: Build) -> None:
    handle = build().submit({"input_ids": PROMPT, "max_tokens": 1}, Sink())
    assert handle.params.end_think_token_id == VOCAB

"""Runtime: limits by name, texts, streams, sinks, and the first pass; on an engine that says a given text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers import models, normalizers
from trimode.api.answer import Chunk
from trimode.api.fields import Mode
from trimode.config import ServerConfig
from trimode.engines.base import Row, RowResult
from trimode.engines.registry import warm_up
from trimode.errors import CancelledError, DeadlineError, EngineError, OverloadedError, PromptTooLongError, RequestError
from trimode.runtime import Runtime
from trimode.text.tokenizer import Tokenizer

from tests.support.arrays import Array
from tests.support.toy import EOS, VOCAB, ToyEngine, byte_tokenizer, toy_curve, toy_runtime

WAIT = 5.0
TOKENIZER = byte_tokenizer()
PROMPT = [3, 4]
SAID = "één 🙂 stop"
MODES = [str(mode) for mode in Mode]


class SayingEngine(ToyEngine):
    """Says `text` after a prompt of two tokens, then the end token; runs only while its gate is open."""

    def __init__(self, text: str = SAID, hit: float = 0.7) -> None:
        super().__init__(hit=hit, peak=30.0)
        self.script = [*TOKENIZER.encode(text), EOS]
        self.gate = threading.Event()
        self.gate.set()

    def causal_logits(self, before: Sequence[int]) -> Array:
        logits = np.zeros(self.manifest.vocab_size, dtype=np.float32)
        at = len(before) - len(PROMPT)
        logits[self.script[at] if 0 <= at < len(self.script) else EOS] = 9
        return logits

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        assert self.gate.wait(WAIT)
        return super().run(rows)


Build = Callable[..., Runtime]


@pytest.fixture
def build() -> Iterator[Build]:
    built: list[tuple[Runtime, ToyEngine]] = []

    def make(engine: ToyEngine | None = None, template: str | None = None, **config: int) -> Runtime:
        engine = engine or ToyEngine()
        built.append((toy_runtime(engine, template, **config), engine))
        return built[-1][0]

    yield make
    for runtime, engine in built:
        getattr(engine, "gate", threading.Event()).set()
        runtime.close()


class Sink:
    """Collects chunks; raises after each when it is a bad one."""

    def __init__(self, *, bad: bool = False) -> None:
        self.chunks: list[Chunk] = []
        self.bad = bad
        self.done = threading.Event()

    def __call__(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        if chunk.last:
            self.done.set()
        if self.bad:
            raise RuntimeError("the client is gone")

    @property
    def last(self) -> Chunk:
        assert self.done.wait(WAIT), "no last chunk came"
        return self.chunks[-1]


def refused(runtime: Runtime, **given: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        runtime.generate(given)
    return caught.value


# Limits


def test_a_text_that_cannot_fit_is_refused_before_it_is_encoded(build: Build) -> None:
    error = refused(build(), text_input="x" * 500_000)
    assert isinstance(error, PromptTooLongError)
    assert str(error) == "text_input must fit the capacity of 512 tokens, got 500000 characters"


def test_a_prompt_without_room_for_a_block_is_refused(build: Build) -> None:
    error = refused(build(), input_ids=[3] * 504, mode="diffusion")
    assert isinstance(error, PromptTooLongError)
    assert "a block of 8 and a token in the capacity of 512 tokens" in error.limit and "504 tokens" in error.given


@pytest.mark.parametrize(("mode", "most"), [("autoregressive", 62), ("diffusion", 54), ("self_speculation", 54)])
def test_max_tokens_names_what_is_left(build: Build, mode: str, most: int) -> None:
    error = refused(build(), input_ids=[3] * 450, mode=mode, max_tokens=most + 1)
    assert (error.field, error.given, error.error_type) == ("max_tokens", str(most + 1), "prompt_too_long")
    assert f"must be at most {most} (capacity 512 - prompt 450 - block {62 - most})" == error.limit


@pytest.mark.parametrize(("mode", "most"), [("autoregressive", 62), ("diffusion", 54), ("self_speculation", 54)])
def test_the_most_that_fits_is_served(build: Build, mode: str, most: int) -> None:
    answer = build().generate({"input_ids": [3] * 450, "mode": mode, "max_tokens": most, "end_id": -1})
    assert len(answer.token_ids) == most


@pytest.mark.parametrize("given", [{}, {"max_tokens": None}])
def test_without_max_tokens_the_default_is_cut_to_what_is_left(build: Build, given: dict[str, object]) -> None:
    sink = Sink()
    handle = build().submit({"input_ids": [3] * 450, "end_id": -1, **given}, sink)
    assert handle.params.max_tokens == 54
    assert len(sink.last.token_ids) == 54


def test_the_default_is_the_servers(build: Build) -> None:
    assert build(default_max_tokens=7).submit({"input_ids": PROMPT}, Sink()).params.max_tokens == 7


def test_an_empty_text_is_refused(build: Build) -> None:
    assert refused(build(), text_input="").field == "text_input"


def test_a_text_that_encodes_to_nothing_is_refused() -> None:
    backend = tokenizers.Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    backend.normalizer = normalizers.Strip()
    engine = ToyEngine()
    runtime = Runtime(engine, Tokenizer(backend, None, {}), ServerConfig(), curve=toy_curve())
    try:
        assert refused(runtime, text_input="  ").field == "text_input"
        assert engine.calls == 0
    finally:
        runtime.close()


def test_a_chat_that_renders_to_nothing_is_refused(build: Build) -> None:
    error = refused(build(template="{# nothing #}"), messages=[{"role": "user", "content": "a"}])
    assert error.field == "messages"


# Texts


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


# Without a tokenizer


@pytest.fixture
def bare() -> Iterator[Runtime]:
    runtime = Runtime(ToyEngine(), None, ServerConfig(), curve=toy_curve())
    yield runtime
    runtime.close()


def test_without_a_tokenizer_ids_still_work(bare: Runtime) -> None:
    answer = bare.generate({"input_ids": PROMPT, "max_tokens": 3, "end_id": -1})
    assert (answer.text, len(answer.token_ids)) == ("", 3)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"text_input": "hi"}, "text_input"),
        ({"messages": [{"role": "user", "content": "a"}]}, "messages"),
        ({"input_ids": PROMPT, "stop_words": ["a"]}, "stop_words"),
        ({"input_ids": PROMPT, "max_thinking_tokens": 3}, "max_thinking_tokens"),
    ],
)
def test_without_a_tokenizer_texts_are_refused(bare: Runtime, given: dict[str, object], field: str) -> None:
    error = refused(bare, **given)
    assert (error.field, error.error_type) == (field, "not_applicable")


# Sinks, ends and totals


def test_a_sink_that_raises_does_not_stop_the_others(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    runtime = build(SayingEngine())
    bad, good = Sink(bad=True), Sink()
    runtime.submit({"input_ids": PROMPT, "stream": True}, bad)
    runtime.submit({"input_ids": PROMPT, "stream": True}, good)
    assert (good.last.finish_reason, bad.last.finish_reason) == ("stop", "stop")
    assert "a sink failed" in caplog.text


def test_a_cancelled_request_gets_a_last_chunk(build: Build) -> None:
    engine, sink = SayingEngine(), Sink()
    runtime = build(engine)
    engine.gate.clear()
    handle = runtime.submit({"input_ids": PROMPT}, sink)
    handle.cancel()
    engine.gate.set()
    assert isinstance(sink.last.error, CancelledError)


@pytest.mark.parametrize(("inside", "outside"), [(1, None), (None, 1), (1, 60_000), (60_000, 1)])
def test_the_tighter_time_limit_counts(build: Build, inside: int | None, outside: int | None) -> None:
    engine, sink = SayingEngine(), Sink()
    runtime = build(engine)
    engine.gate.clear()
    runtime.submit({"input_ids": PROMPT, "timeout_ms": inside}, sink, timeout_ms=outside)
    sink.done.wait(0.01)
    engine.gate.set()
    assert isinstance(sink.last.error, DeadlineError)


def test_generate_raises_what_ended_the_request(build: Build) -> None:
    class Failing(ToyEngine):
        def run(self, rows: Sequence[Row]) -> list[RowResult]:
            raise EngineError("no memory")

    with pytest.raises(EngineError, match="no memory"):
        build(Failing()).generate({"input_ids": PROMPT})


def test_close_gives_every_sink_its_last_chunk_and_takes_nothing_more(build: Build) -> None:
    engine = SayingEngine("x" * 100)
    runtime, sinks = build(engine, max_slots=1), [Sink(), Sink(), Sink()]
    engine.gate.clear()
    for sink in sinks:
        runtime.submit({"input_ids": PROMPT}, sink)
    closing = threading.Thread(target=runtime.close)
    closing.start()
    engine.gate.set()
    closing.join(WAIT)
    assert all(sink.done.is_set() for sink in sinks)
    with pytest.raises(OverloadedError):
        runtime.submit({"input_ids": PROMPT}, Sink())


def test_stats_are_of_the_moment_they_were_asked_for(build: Build) -> None:
    runtime = build()
    before = runtime.stats()
    runtime.generate({"input_ids": PROMPT, "max_tokens": 5, "end_id": -1})
    after = runtime.stats()
    assert (after.running, after.waiting) == (0, 0)
    assert after.passes_total > before.passes_total


# The first pass


def test_warm_up_runs_once_and_gives_its_slot_back() -> None:
    engine = ToyEngine()
    warm_up(engine)
    assert (engine.calls, engine._slots) == (1, {})


def test_warm_up_notices_logits_that_are_not_finite() -> None:
    class Broken(ToyEngine):
        def causal_logits(self, before: Sequence[int]) -> Array:
            return np.full(self.manifest.vocab_size, np.nan, dtype=np.float32)

    engine = Broken()
    with pytest.raises(EngineError, match="not finite"):
        warm_up(engine)
    assert engine._slots == {}


@pytest.mark.parametrize(
    ("asked", "used"), [({}, True), ({"draft_adapter": True}, True), ({"draft_adapter": False}, False)]
)
def test_only_drafts_run_with_the_adapter_and_only_if_the_request_wants_it(asked: dict[str, bool], used: bool) -> None:
    engine = ToyEngine()
    runtime = toy_runtime(engine)
    try:
        runtime.generate({"input_ids": [5, 6], "mode": "self_speculation", "max_tokens": 9, **asked})
    finally:
        runtime.close()
    assert {row.adapter for row in engine.rows if row.sees == "block"} == {used}
    assert not any(row.adapter for row in engine.rows if row.sees == "causal")


def test_every_stage_of_an_answer_can_be_timed_and_is_left_as_it_was() -> None:
    runtime = toy_runtime(ToyEngine())
    seen: list[str] = []

    def around(call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            seen.append(stage)
            return call(*args, **kwargs)

        return noted

    owners = (runtime, runtime.engine, runtime.auto, runtime._queue, runtime._scheduler)
    try:
        before = [set(vars(owner)) for owner in owners]
        with runtime.traced(around):
            traced = runtime.generate({"text_input": "ab", "max_tokens": 5, "seed": 1})
        assert set(seen) == {"check", "start", "submit", "update", "choose", "plan", "run", "apply", "send"}
        assert seen.index("check") < seen.index("start") < seen.index("submit") < seen.index("run")
        assert [set(vars(owner)) for owner in owners] == before
        count = len(seen)
        again = runtime.generate({"text_input": "ab", "max_tokens": 5, "seed": 1})
        assert (again.text, len(seen)) == (traced.text, count)
    finally:
        runtime.close()

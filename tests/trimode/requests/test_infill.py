"""Requests to fill gaps: sizes, choice, several gaps, seams, and that each is answered exactly once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from trimode.api.answer import Chunk
from trimode.api.fields import Mode
from trimode.api.params import GenerationParams
from trimode.decoding.sequence import SequenceState
from trimode.engines.base import Row, RowResult
from trimode.errors import CancelledError, DeadlineError, EngineError, OverloadedError, RequestError
from trimode.requests.gap_search import MAX_ROUNDS, SIZE_LADDER, SIZES_PER_ROUND, Filling, GapSearch
from trimode.requests.infill import InfillRequest
from trimode.requests.services import Request
from trimode.runtime import Runtime
from trimode.text.tokenizer import Tokenizer

from tests.support.toy import EOS, MASK, ToyEngine, byte_tokenizer, toy_config, toy_curve, toy_runtime

WAIT = 5.0
TOKENIZER = byte_tokenizer()
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
OPEN = {"text_input": "abc", "suffix": "def"}
"""A search over sizes 1, 2, 4, 8, 16, 32 and then some between."""


class KnowingEngine(ToyEngine):
    """Knows one text by heart: what comes at a position is that text's; runs only while its gate is open."""

    def __init__(self, text: str) -> None:
        super().__init__(hit=1.0, peak=30.0)
        self.script = [*TOKENIZER.encode(text), EOS]
        self.before: Callable[[Sequence[Row]], None] = lambda rows: None
        self.gate = threading.Event()
        self.gate.set()

    def causal_logits(self, before: Sequence[int]) -> np.ndarray:
        logits = np.zeros(self.manifest.vocab_size, dtype=np.float32)
        logits[self.script[min(len(before), len(self.script) - 1)]] = 9
        return logits

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        assert self.gate.wait(WAIT)
        self.before(rows)
        return super().run(rows)


class Sink:
    """Collects chunks."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.done = threading.Event()

    def __call__(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        self.done.set()

    @property
    def only(self) -> Chunk:
        assert self.done.wait(WAIT), "no answer came"
        assert len(self.chunks) == 1 and self.chunks[0].last
        return self.chunks[0]


Build = Callable[..., Runtime]


@pytest.fixture
def build() -> Iterator[Build]:
    built: list[tuple[Runtime, ToyEngine]] = []

    def make(engine: ToyEngine | None = None, **config: int) -> Runtime:
        engine = engine or ToyEngine()
        built.append((toy_runtime(engine, TEMPLATE, **config), engine))
        return built[-1][0]

    yield make
    for runtime, engine in built:
        getattr(engine, "gate", threading.Event()).set()
        runtime.close()


def settled(runtime: Runtime, engine: ToyEngine) -> bool:
    """Whether nothing is left behind once all that was cancelled has ended."""
    sink = Sink()
    runtime.submit({"input_ids": [3], "max_tokens": 1}, sink)
    assert sink.done.wait(WAIT)
    runtime.close()
    return not engine._slots and runtime.stats().waiting == runtime.stats().running == 0


# Sizes


def tried(size: int, score: float | None, mode: Mode = Mode.DIFFUSION, worth: int = 1) -> Filling:
    return Filling(mode, [3] * size, [], "a" * size, score, worth)


def gap(scores: dict[int, float | None], sizes: Sequence[int], *, open: bool = True) -> GapSearch:
    done = [tried(size, score) for size, score in scores.items()]
    return GapSearch(SimpleNamespace(), tuple(sizes), open, done)  # type: ignore[arg-type]


def test_the_likeliest_size_is_best_and_of_equals_the_smallest() -> None:
    assert gap({1: -3.0, 2: -1.0, 4: -2.0}, ()).best.size == 2
    assert gap({4: -1.0, 2: -1.0, 8: -1.0}, ()).best.size == 2


def test_a_size_that_could_not_be_scored_is_the_last_choice() -> None:
    assert gap({1: None, 2: -99.0}, ()).best.size == 2
    assert gap({1: None}, ()).best.size == 1


def test_between_are_all_sizes_beside_the_best_if_they_are_few() -> None:
    assert gap({1: -9.0, 2: -3.0, 4: -1.0, 8: -2.0}, (1, 2, 4, 8)).next_sizes() == (3, 5, 6, 7)


def test_between_are_a_few_of_many_spread_evenly() -> None:
    found = gap({1: -9.0, 32: -1.0, 64: -3.0}, (1, 32, 64)).next_sizes()
    assert len(found) == SIZES_PER_ROUND
    assert min(found) == 2 and max(found) > 32 and 32 not in found


def test_between_goes_on_for_a_few_rounds_and_only_where_the_size_was_open() -> None:
    searched = gap({1: -9.0, 512: -1.0, 1024: -3.0}, (1, 512, 1024))
    rounds = []
    while between := searched.next_sizes():
        rounds.append(between)
        searched.tried += [tried(size, -1.0 if size > 512 else -5.0) for size in between]
    assert len(rounds) == MAX_ROUNDS - 1 and all(0 < len(sizes) <= SIZES_PER_ROUND for sizes in rounds)
    assert gap({1: -9.0, 4: -3.0}, (1, 4), open=False).next_sizes() == ()
    assert gap({1: -9.0}, (1,)).next_sizes() == ()


def test_the_size_of_a_draft_that_is_best_is_tried_too() -> None:
    searched = gap({1: -9.0, 2: -3.0, 4: -2.0, 8: -2.5}, (1, 2, 4, 8))
    searched.tried.append(tried(5, -0.1, Mode.AUTOREGRESSIVE))
    assert searched.next_sizes() == (5, 6, 7)


def test_the_size_of_the_right_text_is_found(build: Build) -> None:
    answer = build(KnowingEngine("abcUVWXYdef")).generate(OPEN)
    assert (answer.text, answer.fills, answer.finish_reason) == ("UVWXY", ["UVWXY"], "stop")


def test_candidates_are_every_size_with_text_and_score(build: Build) -> None:
    answer = build(KnowingEngine("abcWXYZdef")).generate({**OPEN, "return_candidates": True})
    (found,) = answer.candidates
    assert [one.size for one in found if one.mode == "diffusion"] == [1, 2, 3, 4, 5, 6, 7, 8, 16, 32]
    assert [(one.size, one.text) for one in found if one.mode == "autoregressive"] == [(4, "WXYZ")]
    assert max(found, key=lambda one: one.score or -99).text == answer.text == "WXYZ"
    assert all(one.score is not None and one.score <= 0 for one in found)


def test_candidates_are_scored_even_if_there_is_one(build: Build) -> None:
    ((found,),) = build().generate({**OPEN, "infill_tokens": 2, "return_candidates": True}).candidates
    assert found.score is not None and found.mode == "diffusion"


def test_without_return_candidates_there_are_none_and_a_given_size_is_not_scored(build: Build) -> None:
    answer = build().generate({**OPEN, "infill_tokens": 2})
    assert (answer.candidates, answer.counters.score_forwards) == ([], 0)


@pytest.mark.parametrize("most", [1, 2, 3, 31, 100])
def test_max_tokens_bounds_the_search(build: Build, most: int) -> None:
    (found,) = build().generate({**OPEN, "max_tokens": most, "return_candidates": True}).candidates
    sizes = [one.size for one in found if one.mode == "diffusion"]
    assert max(sizes) == most
    assert {size for size in SIZE_LADDER if size < most} <= set(sizes)
    assert len(sizes) == len(set(sizes))


@pytest.mark.parametrize(
    ("more", "sizes"), [({"infill_tokens": 1}, {1}), ({"infill_lengths": [2, 3]}, {2, 3}), ({"max_tokens": 2}, {0})]
)
def test_a_gap_of_a_given_size_does_not_come_back_empty(
    build: Build, monkeypatch: pytest.MonkeyPatch, more: dict[str, object], sizes: set[int]
) -> None:
    """What was taken back, and what the right side begins with, fill it best; they are no text of the gap."""
    monkeypatch.setattr(Tokenizer, "extends", lambda self, text: text == "c")
    answer = build(KnowingEngine("abcdef")).generate({**OPEN, **more})
    assert len(answer.text) in sizes


def test_of_tried_texts_those_of_the_size_come_first_then_the_likelier() -> None:
    texts = [tried(1, -1.0, worth=0), tried(2, -3.0, worth=2), tried(3, -2.0, worth=1), tried(4, -2.5, worth=2)]
    assert GapSearch(SimpleNamespace(), (2,), False, texts).best.size == 4  # type: ignore[arg-type]


# Texts


@pytest.mark.parametrize("left", ["", "a", "\tdef f():\n\t", "naïve 🙂", "<eos>", "\ufffd"])
@pytest.mark.parametrize("right", ["", "z", "\n  return é", "🙂" * 9, "<mask><eos>", "x" * 5000])
@pytest.mark.parametrize("size", [1, 9])
def test_both_sides_come_back_as_they_were(build: Build, left: str, right: str, size: int) -> None:
    asked = {"text_input": left, "suffix": right, "infill_tokens": size, "exclude_input_in_output": False, "seed": 5}
    answer = build().generate({**asked, "return_log_probs": True})
    assert answer.text == left + answer.fills[0] + right
    assert len(answer.token_ids) == len(answer.log_probs) == answer.counters.output_tokens == size
    assert "\ufffd" not in answer.fills[0]


def test_each_gap_sees_what_filled_the_one_before(build: Build) -> None:
    answer = build(KnowingEngine("aXXbYYYcZ")).generate(
        {"segments": ["a", {"infill_tokens": 2}, "b", {}, "c", {"infill_tokens": 1}], "exclude_input_in_output": False}
    )
    assert (answer.text, answer.fills) == ("aXXbYYYcZ", ["XX", "YYY", "Z"])
    assert answer.counters.output_tokens == len(answer.token_ids) == 6


def test_gaps_without_a_text_between_them(build: Build) -> None:
    answer = build().generate(
        {"segments": [{"infill_tokens": 2}, {"infill_tokens": 3}], "exclude_input_in_output": False}
    )
    assert answer.text == "".join(answer.fills) and len(answer.token_ids) == 5


def test_the_most_gaps(build: Build) -> None:
    asked = [part for at in range(16) for part in (str(at), {"infill_tokens": 2})]
    answer = build().generate({"segments": asked, "exclude_input_in_output": False})
    assert answer.text == "".join(f"{at}{fill}" for at, fill in enumerate(answer.fills))


def test_a_gap_in_an_answer_is_closed_by_end_tokens(build: Build) -> None:
    engine = ToyEngine()
    asked = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "it"}]
    answer = build(engine).generate(
        {"messages": asked, "suffix": ".", "infill_tokens": 2, "exclude_input_in_output": False}
    )
    assert answer.text == "it" + answer.fills[0] + "."
    window = next(row for row in engine.rows if row.sees == "block")
    assert window.tokens[3:].tolist() == [*TOKENIZER.encode("."), *[EOS] * 4]
    assert engine.rows[0].tokens.tolist() == TOKENIZER.encode("<user>qit")


def test_an_instruction_is_seen_by_every_gap_and_does_not_come_back(build: Build) -> None:
    segments = ["a", {"infill_tokens": 2}, "b", {}, "c"]
    answer = build(KnowingEngine("<user>qaXXbYYYc")).generate(
        {"segments": segments, "instruction": "q", "exclude_input_in_output": False}
    )
    assert (answer.text, answer.fills) == ("aXXbYYYc", ["XX", "YYY"])


def test_an_instruction_is_a_question_whose_answer_is_begun(build: Build) -> None:
    asked = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "it"}]
    begun = build().generate({"messages": asked, "suffix": ".", "return_candidates": True})
    split = build().generate({"segments": ["it", {}, "."], "instruction": "q", "return_candidates": True})
    told = build().generate({"text_input": "it", "suffix": ".", "instruction": "q", "return_candidates": True})
    assert begun.candidates == split.candidates == told.candidates


def test_counters_are_of_all_sizes_and_the_tokens_of_the_answer_alone(build: Build) -> None:
    engine = KnowingEngine("abcWXYZdef")
    answer = build(engine, max_slots=1).generate(OPEN)
    counts = answer.counters
    assert counts.prefill_forwards + counts.forwards == engine.calls
    assert (counts.prefill_forwards, counts.output_tokens) == (10 + 2, 4), "a draft is made, then scored"
    assert answer.num_input_tokens == 6


def test_the_known_tokens_of_all_pieces_are_input(build: Build) -> None:
    answer = build().generate({"segments": ["ab", {"infill_tokens": 5}, "cd", {"infill_tokens": 5}, "e"]})
    assert answer.num_input_tokens == 5


@pytest.mark.parametrize("closed", [True, False])
def test_a_right_side_is_counted_whole_and_nothing_beside_it(build: Build, closed: bool) -> None:
    """A window sees a block of it, filled up with end tokens in an answer."""
    asked = {"messages": [{"role": "user", "content": "q"}]} if closed else {"text_input": "<user>q"}
    for suffix in ("", "z", "z" * 100):
        answer = build().generate({**asked, "suffix": suffix, "infill_tokens": 1})
        assert answer.num_input_tokens == len("<user>q" + suffix)


def test_a_drafts_log_probs_stay_beside_its_tokens(build: Build) -> None:
    answer = build(KnowingEngine("abc" + "U" * 20 + "def")).generate({**OPEN, "return_log_probs": True})
    assert len(answer.log_probs) == len(answer.token_ids) == 20


def test_what_a_draft_must_not_have_is_left_out_with_its_log_prob(build: Build) -> None:
    runtime = build()
    found: list[tuple[list[int], list[float]]] = []
    params = GenerationParams.parse({**OPEN, "return_log_probs": True, "seed": 1}, runtime.defaults)
    job = InfillRequest(Request(params, {}, lambda chunk: None, None), runtime.services)
    job.start()
    job._queue = lambda jobs: found.append((jobs[0].sequence.infill.given, jobs[0].sequence.log_probs))  # type: ignore
    a, b = TOKENIZER.encode("ab")
    tokens = [a, EOS, b, *TOKENIZER.encode("def")]
    draft = SequenceState(params, [], MASK, tokens=tokens, log_probs=[1, 2, 3, 4, 5, 6])
    job._advance(draft, job._gaps[0].context.starts[-1])
    job.cancel()
    assert found == [([a, b], [1, 3])]


def test_a_stream_is_one_chunk(build: Build) -> None:
    sink = Sink()
    build().submit({**OPEN, "infill_tokens": 20, "stream": True, "return_token_ids": True}, sink)
    assert len(sink.only.token_ids) == 20


# Drafts and what is taken back


def test_what_is_written_from_the_left_alone_is_a_candidate_up_to_the_right_side(build: Build) -> None:
    """The only size that fits lies beyond what is tried."""
    answer = build(KnowingEngine("abc" + "U" * 20 + "def")).generate({**OPEN, "return_candidates": True})
    assert answer.text == "U" * 20
    assert [one.text for one in answer.candidates[0] if one.mode == "autoregressive"] == ["U" * 20]


def test_a_draft_that_never_meets_the_right_side_is_no_candidate(build: Build) -> None:
    answer = build(KnowingEngine("abc" + "U" * 60)).generate({**OPEN, "return_candidates": True})
    assert {one.mode for one in answer.candidates[0]} == {"diffusion"}


def test_a_gap_without_a_left_side_is_searched_without_a_draft(build: Build) -> None:
    answer = build(KnowingEngine("XYdef")).generate({"text_input": "", "suffix": "def", "return_candidates": True})
    assert answer.fills == [answer.text] and {one.mode for one in answer.candidates[0]} == {"diffusion"}


@pytest.mark.parametrize("size", [{"infill_tokens": 2}, {"infill_lengths": [1, 2]}, {}])
def test_a_word_that_is_cut_is_filled_from_its_beginning(
    build: Build, monkeypatch: pytest.MonkeyPatch, size: dict[str, object]
) -> None:
    """As if the last byte of `abc` could be part of a longer token: it is taken back and comes again."""
    monkeypatch.setattr(Tokenizer, "extends", lambda self, text: text == "c")
    engine = KnowingEngine("abcXYdef")
    answer = build(engine).generate({**OPEN, **size, "return_candidates": True, "exclude_input_in_output": False})
    assert (answer.text, answer.fills) == ("abcXYdef", ["XY"])
    prompts = {tuple(row.tokens.tolist()) for row in engine.rows if row.start == 0 and row.sees == "causal"}
    assert tuple(TOKENIZER.encode("ab")) in prompts


def test_where_nothing_fits_what_was_taken_back_the_whole_left_side_is_used(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tokenizer, "extends", lambda self, text: text == "c")
    monkeypatch.setattr(Tokenizer, "meeting", lambda self, text: TOKENIZER.encode("Q"))
    answer = build(KnowingEngine("abcXYdef")).generate(OPEN)
    assert answer.fills == ["XY"]


@pytest.mark.parametrize("most", [3, 20])
def test_a_seed_gives_the_same_fill_again(build: Build, most: int) -> None:
    runtime = build(ToyEngine(hit=0.5))
    asked = {**OPEN, "temperature": 1.5, "seed": 11, "max_tokens": most, "return_candidates": True}
    first, second = runtime.generate(asked), runtime.generate(asked)
    assert (first.text, first.candidates) == (second.text, second.candidates)


# Ends


def test_an_empty_text_is_refused_only_without_a_suffix(build: Build) -> None:
    runtime = build()
    assert len(runtime.generate({"text_input": "", "suffix": "", "infill_tokens": 3}).token_ids) == 3
    with pytest.raises(RequestError, match="must not be empty"):
        runtime.generate({"text_input": ""})


def test_without_a_tokenizer_there_are_no_gaps() -> None:
    runtime = Runtime(ToyEngine(), None, toy_config(), curve=toy_curve())
    try:
        with pytest.raises(RequestError, match="text_input needs a checkpoint with a tokenizer"):
            runtime.generate(OPEN)
    finally:
        runtime.close()


def test_one_size_that_fails_ends_the_request_once(build: Build) -> None:
    engine, sink = KnowingEngine("abcWXYZdef"), Sink()
    failures = [EngineError("no memory")]

    def fail_once(rows: Sequence[Row]) -> None:
        if rows[0].sees == "block" and failures:
            raise failures.pop()

    engine.before = fail_once
    runtime = build(engine, max_slots=2)
    runtime.submit(OPEN, sink)
    assert str(sink.only.error) == "no memory"
    assert settled(runtime, engine) and len(sink.chunks) == 1


def test_a_defect_between_gaps_ends_the_request_once(
    build: Build, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: GapSearch) -> tuple[int, ...]:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(GapSearch, "next_sizes", broken)
    sink = Sink()
    build().submit({**OPEN, "infill_tokens": 2}, sink)
    assert isinstance(sink.only.error, EngineError) and "a bug" in str(sink.only.error)
    assert "a gap could not be filled" in caplog.text


def test_a_defect_in_reading_a_gap_ends_the_request_once(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Tokenizer, ids: Sequence[int]) -> str:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Tokenizer, "decode", broken)
    engine, sink = ToyEngine(), Sink()
    runtime = build(engine)
    runtime.submit({**OPEN, "infill_tokens": 2}, sink)
    assert isinstance(sink.only.error, EngineError) and "a bug" in str(sink.only.error)
    assert settled(runtime, engine)


def test_a_second_gap_that_no_longer_fits_ends_the_request(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fills a gap may take more tokens in its place than it had."""
    monkeypatch.setattr(Tokenizer, "decode", lambda self, ids: "x" * 600)
    sink = Sink()
    build().submit({"segments": ["a", {"infill_tokens": 2}, "b", {"infill_tokens": 2}]}, sink)
    assert isinstance(sink.only.error, RequestError) and "602 tokens" in str(sink.only.error)


@pytest.mark.parametrize(("slots", "call"), [*((1, call) for call in range(21)), *((8, call) for call in range(14))])
def test_cancelled_at_any_moment_it_is_answered_once_and_leaves_nothing(build: Build, slots: int, call: int) -> None:
    engine, sink = KnowingEngine("aXXbYYYc"), Sink()
    runtime = build(engine, max_slots=slots)
    engine.gate.clear()
    handle = runtime.submit({"segments": ["a", {"infill_tokens": 9}, "b", {}, "c"], "max_tokens": 9}, sink)
    left = iter(range(call, -1, -1))

    def cancel_at(rows: Sequence[Row]) -> None:
        if next(left, -1) == 0:
            handle.cancel()

    engine.before = cancel_at
    engine.gate.set()
    answer = sink.only
    assert isinstance(answer.error, CancelledError)
    assert settled(runtime, engine) and len(sink.chunks) == 1


def test_cancelled_between_two_gaps(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, sink, started = build(), Sink(), threading.Event()
    decode = Tokenizer.decode

    def cancel(self: Tokenizer, ids: Sequence[int]) -> str:  # runs when a gap is done, before the next is opened
        assert started.wait(WAIT)
        handle.cancel()
        return decode(self, ids)

    monkeypatch.setattr(Tokenizer, "decode", cancel)
    handle = runtime.submit({"segments": ["a", {"infill_tokens": 2}, "b", {"infill_tokens": 2}]}, sink)
    started.set()
    assert isinstance(sink.only.error, CancelledError)


def test_cancelling_what_is_answered_changes_nothing(build: Build) -> None:
    runtime, sink = build(), Sink()
    handle = runtime.submit({**OPEN, "infill_tokens": 2}, sink)
    assert sink.only.error is None
    handle.cancel()
    assert runtime.generate({**OPEN, "infill_tokens": 2}).error is None
    assert len(sink.chunks) == 1


def test_a_full_queue_refuses_it_before_anything_is_queued(build: Build) -> None:
    engine, first, sink = KnowingEngine("abc"), Sink(), Sink()
    runtime = build(engine, max_slots=1, max_queue=0)
    engine.gate.clear()
    runtime.submit({"input_ids": [3], "max_tokens": 1}, first)
    with pytest.raises(OverloadedError):
        runtime.submit(OPEN, sink)
    engine.gate.set()
    assert first.only.error is None
    assert settled(runtime, engine) and sink.chunks == []


def test_a_search_runs_on_a_server_with_one_slot_and_no_queue(build: Build) -> None:
    assert build(KnowingEngine("abcWXYZdef"), max_slots=1, max_queue=0).generate(OPEN).text == "WXYZ"


def test_a_request_that_has_begun_is_not_turned_away_halfway(build: Build) -> None:
    engine, sink, other = KnowingEngine("aXXbYYYc"), Sink(), Sink()
    runtime = build(engine, max_slots=1, max_queue=1)
    engine.gate.clear()
    runtime.submit({"segments": ["a", {"infill_tokens": 2}, "b", {"infill_tokens": 3}, "c"]}, sink)
    runtime.submit({"input_ids": [3], "max_tokens": 1}, other)
    engine.gate.set()
    assert sink.only.fills == ["XX", "YYY"]
    assert other.only.error is None


def test_a_deadline_counts_from_the_requests_start(build: Build) -> None:
    engine, sink = KnowingEngine("aXXbYYYc"), Sink()
    runtime = build(engine, max_slots=1)

    def slow_in_the_second_gap(rows: Sequence[Row]) -> None:
        if rows[0].tokens.tolist() == TOKENIZER.encode("aXXb"):
            time.sleep(0.3)

    engine.before = slow_in_the_second_gap
    runtime.submit({"segments": ["a", {"infill_tokens": 2}, "b", {"infill_tokens": 2}], "timeout_ms": 250}, sink)
    assert isinstance(sink.only.error, DeadlineError)
    assert "0.250 s" in str(sink.only.error)
    assert settled(runtime, engine)


def test_a_shutdown_answers_it_once(build: Build) -> None:
    engine, sink = KnowingEngine("aXXbYYYc"), Sink()
    runtime = build(engine, max_slots=2)
    engine.gate.clear()
    runtime.submit({"segments": ["a", {}, "b", {}, "c"]}, sink)
    closing = threading.Thread(target=runtime.close, args=(1.0,))
    closing.start()
    engine.gate.set()
    closing.join(WAIT)
    assert isinstance(sink.only.error, CancelledError) or sink.only.finish_reason == "stop"
    assert not engine._slots

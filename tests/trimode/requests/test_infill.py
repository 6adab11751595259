"""Requests to fill gaps: sizes, choice, several gaps, seams, and that each is answered exactly once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from trimode.api.params import GenerationParams
from trimode.decoding.sequence import SequenceState
from trimode.requests.gap_search import SIZE_LADDER
from trimode.requests.infill import InfillRequest
from trimode.requests.request import Request
from trimode.runtime import Runtime
from trimode.text.tokenizer import Tokenizer

from tests.support.knowing_engine import KnowingEngine
from tests.support.sink import Sink
from tests.support.toy import EOS, MASK, ToyEngine, byte_tokenizer

WAIT = 5.0
TOKENIZER = byte_tokenizer()
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
OPEN = {"text_input": "abc", "suffix": "def"}
"""A search over sizes 1, 2, 4, 8, 16, 32 and then some between."""


Build = Callable[..., Runtime]


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
    job = InfillRequest(Request(params, lambda chunk: None, None), runtime.services)
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

"""Gaps that must match something: each by itself, or the whole text; what is found holds, or nothing is claimed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from trimode.errors import RequestError
from trimode.requests.gap_guides import GapGuides
from trimode.requests.gap_jobs import GapJobs
from trimode.requests.gap_search import GapSearch
from trimode.requests.gapped_text import GappedText
from trimode.requests.seams import Start
from trimode.runtime import Runtime
from trimode.scheduling.job import Job
from trimode.text.tokenizer import Tokenizer

from tests.support.knowing_engine import KnowingEngine
from tests.support.runtimes import Build
from tests.support.sink import Sink
from tests.support.toy import ToyEngine, running

pytestmark = pytest.mark.subprocess

TYPE, GUIDE, SCOPE = "guided_decoding_guide_type", "guided_decoding_guide", "guided_decoding_scope"
WHOLE = {TYPE: "json", SCOPE: "whole", "exclude_input_in_output": False}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "array", "items": {"enum": ["x", "y"]}}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
RECORD = {TYPE: "json_schema", GUIDE: json.dumps(SCHEMA), SCOPE: "whole", "exclude_input_in_output": False}
DRAWN: list[dict[str, Any]] = [{"temperature": 0.0}, *({"temperature": 1.0, "seed": seed} for seed in range(3))]


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    with running(ToyEngine(eos_rate=0.05)) as made:
        yield made


@pytest.mark.parametrize("how", DRAWN, ids=str)
@pytest.mark.parametrize("sizes", [{}, {"max_tokens": 6}, {"infill_tokens": 5}, {"infill_lengths": [3, 12]}], ids=str)
def test_each_gap_matches_by_itself(runtime: Runtime, how: dict[str, Any], sizes: dict[str, Any]) -> None:
    kinds: dict[str, tuple[str | None, Callable[[str], object]]] = {
        "json": (None, lambda text: isinstance(json.loads(text), dict)),
        "regex": ("[ab]{2}-?[0-9]+", lambda text: re.fullmatch("[ab]{2}-?[0-9]+", text)),
        "choice": ('["yes", "no"]', lambda text: text in ("yes", "no")),
    }
    for kind, (guide, holds) in kinds.items():
        asked = {"text_input": "it is ", "suffix": " today", TYPE: kind, GUIDE: guide, **how, **sizes}
        answer = runtime.generate(asked)
        assert holds(answer.fills[0]), (kind, answer.fills)
        assert answer.text == answer.fills[0] and answer.finish_reason == "stop"


@pytest.mark.parametrize("how", DRAWN, ids=str)
@pytest.mark.parametrize(
    "segments",
    [
        ['{"a": ', {}, ', "b": ["x"]}'],
        ['{"a": 1, "b": [', {}, ', "y"]}'],
        ['{"a": 1', {}, '"x"]}'],
        [{}, ', "b": []}'],
        ['{"a": 7, ', {}],
        ['{"a": ', {}, ', "b": [', {}, "]}"],
        ['{"', {}, '": 1, "', {"infill_tokens": 6}, '"x"]}'],
    ],
    ids=str,
)
def test_the_whole_text_matches(runtime: Runtime, how: dict[str, Any], segments: list[Any]) -> None:
    answer = runtime.generate({"segments": segments, **RECORD, **how})
    found = json.loads(answer.text)
    assert set(found) == {"a", "b"} and isinstance(found["a"], int) and set(found["b"]) <= {"x", "y"}
    pieces = [one for one in segments if isinstance(one, str)]
    assert all(piece in answer.text for piece in pieces)


def test_a_filling_ends_where_the_model_goes_on_with_the_right_side(build: Build) -> None:
    engine = KnowingEngine('{"a": 24, "b": 2}')
    asked = {"text_input": '{"a": ', "suffix": ', "b": 2}'}
    for more in ({TYPE: "regex", GUIDE: "[0-9]+"}, {TYPE: "json", SCOPE: "whole"}):
        for sizes in ({}, {"infill_tokens": 2}):
            assert build(engine).generate({**asked, **more, **sizes}).fills == ["24"]


def test_what_may_fill_the_gap_is_compared_by_the_model(build: Build) -> None:
    answer = build(KnowingEngine('{"a": "xyz", "b": 2}')).generate(
        {"text_input": '{"a": ', "suffix": ', "b": 2}', "return_candidates": True, **WHOLE}
    )
    assert answer.text == '{"a": "xyz", "b": 2}'
    for one in answer.candidates[0]:
        json.loads('{"a": ' + one.text + ', "b": 2}')


def test_a_left_side_that_begins_nothing_is_refused_before_anything_runs(runtime: Runtime) -> None:
    calls = runtime.engine.calls
    with pytest.raises(RequestError, match="text_input must begin a text that matches its json, got") as caught:
        runtime.generate({"text_input": "[1, ", "suffix": "}", **WHOLE})
    assert caught.value.error_type == "invalid_value"
    assert runtime.engine.calls == calls


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"text_input": '{"a": ', "suffix": "]"}, "the whole text matches, got none that was found for gap 1 of 1"),
        ({"text_input": '{"a": ', "suffix": " :}"}, "at most 32 tokens"),
        ({"segments": ['{"a": ', {"infill_tokens": 3}, ', "b": 2', {}, " ]"]}, "for gap 2 of 2"),
        ({"text_input": "x", "suffix": "y", TYPE: "regex", GUIDE: "a{40}", SCOPE: "gap"}, "the gap matches"),
    ],
)
def test_where_nothing_is_found_nothing_is_claimed(runtime: Runtime, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=re.escape(said)) as caught:
        runtime.generate({**WHOLE, **asked})
    assert (caught.value.field, caught.value.error_type) == (GUIDE, "no_filling")


def test_a_form_that_no_filling_fits_is_given_up_soon(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first gap's sizes are tried, the second's up to 32 tokens, and once more each, with other first tokens."""
    sizes: list[int] = []
    filling = GapJobs.filling

    def counted(made: GapJobs, gap: GapSearch, start: Start, size: int, *more: Any) -> Job:
        sizes.append(size)
        return filling(made, gap, start, size, *more)

    monkeypatch.setattr(GapJobs, "filling", counted)
    asked = {"segments": ['{"a": "', {}, '", "b": ', {}, ', "c": 5} and more'], "max_tokens": 64}
    with pytest.raises(RequestError, match="a filling of at most"):
        runtime.generate({**WHOLE, **asked})
    assert max(sizes) == 64 and len(sizes) <= 60


def test_an_earlier_gap_is_filled_otherwise_for_a_later_one(build: Build) -> None:
    """The likeliest first filling leaves nothing for the second gap."""
    answer = build(KnowingEngine("<a-b")).generate(
        {"segments": ["<", {}, "-", {}], TYPE: "regex", GUIDE: "<a-x{30}|<c-d", SCOPE: "whole", "max_tokens": 3}
        | {"exclude_input_in_output": False}
    )
    assert answer.fills == ["c", "d"]


def test_seeds_and_streams_keep_their_meaning(runtime: Runtime) -> None:
    asked = {"text_input": '{"a": ', "suffix": "}", "temperature": 1.5, "seed": 11, **WHOLE}
    one = runtime.generate(asked)
    sink = Sink()
    runtime.submit({**asked, "stream": True, "return_log_probs": True}, sink)
    assert sink.done.wait(120)
    assert sink.only.error is None
    assert sink.only.text == one.text
    assert len(sink.only.log_probs) == len(sink.only.token_ids)


def test_a_cut_word_begins_again(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the last byte of the left side could be part of a longer token: it is taken back and comes again."""
    monkeypatch.setattr(Tokenizer, "extends", lambda self, text: text == "c")
    for more in ({TYPE: "regex", GUIDE: "[A-Z]+"}, {TYPE: "regex", GUIDE: "abc[A-Z]+def", SCOPE: "whole"}):
        answer = build(KnowingEngine("abcXYdef")).generate({"text_input": "abc", "suffix": "def", **more})
        assert answer.fills == ["XY"]


def test_a_long_gap_is_filled_in_parts(runtime: Runtime) -> None:
    given = {TYPE: "regex", GUIDE: "[ab]{60}", "infill_tokens": 60, "max_tokens": 60}
    answer = runtime.generate({"text_input": "x", "suffix": "y", **given})
    assert re.fullmatch("[ab]{60}", answer.fills[0])


def test_other_fields_of_choice_hold_too(runtime: Runtime) -> None:
    banned = [token for token in range(2, 200) if runtime.tokenizer and runtime.tokenizer.decode([token]) == "0"]
    asked = {"text_input": "n = ", "suffix": ";", TYPE: "regex", GUIDE: "[0-3]{3}", "bad_token_ids": banned}
    for how in DRAWN:
        assert re.fullmatch("[1-3]{3}", runtime.generate({**asked, **how}).fills[0])


def test_a_free_gap_has_no_guide(runtime: Runtime) -> None:
    params = runtime.check({"text_input": "a", "suffix": "b"}, print).params
    assert runtime.tokenizer is not None
    assert GapGuides.of(params, GappedText.of(params, runtime.tokenizer), runtime.services) is None
    assert params.echo()[SCOPE] is None

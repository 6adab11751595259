"""One random guide: what is asked for, and what its answer counts as."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from trimode.api.answer import Chunk
from trimode.api.guide import GuideType
from trimode.errors import EngineError
from trimode.grammar.refusal import bad_grammar
from trimode_perf.fuzz.guided_request import COMPLETE, COMPLEX, CUT, GAP, MODES, WAYS, WHOLE, Asked, asking, cut
from trimode_perf.fuzz.guides import Guided

from tests.support.grammars import compiled

WORDS: tuple[GuideType, str] = ("choice", '["a word", "another"]')
LONG: tuple[GuideType, str] = ("regex", "x{300}")


def asked(
    number: int = 0, guide: tuple[GuideType, str] = WORDS, holds: Callable[[str], bool] = "a word".__eq__
) -> Asked:
    return Asked(number, compiled(*guide), Guided(*guide, holds), lambda one: None)


def test_each_way_asks_for_what_the_runtime_takes_streamed_and_not() -> None:
    found = [asked(number) for number in range(6 * len(WAYS))]
    assert {one.way for one in found} == set(WAYS)
    assert {one.given["stream"] for one in found} == {True, False}
    for one in found:
        given = one.given
        assert given["temperature"] == 1.0 and given["guided_decoding_guide"] == WORDS[1]
        assert one.way not in MODES or MODES[one.way].items() <= given.items()
        assert (one.way == GAP) == ("infill_lengths" in given)
        assert (one.way == WHOLE) == ("segments" in given)


def test_room_is_twice_the_shortest_text_or_may_be_too_little() -> None:
    (size,) = {len(compiled(*LONG).shortest or ())}
    found = [asked(len(WAYS) * turn, LONG) for turn in range(3)]
    assert [(one.given["max_tokens"] == 2 * size, one.fits) for one in found] == [(False, False), *[(True, True)] * 2]


@pytest.mark.parametrize(
    ("last", "outcome"),
    [
        ({"text": "word", "finish_reason": "stop"}, COMPLETE),
        ({"text": "word", "finish_reason": "length"}, CUT),
        ({"error": bad_grammar("must be simple", "none")}, COMPLEX),
        ({"text": "xyz", "finish_reason": "stop"}, f"fault: autoregressive, number 0: {WORDS[1]!r} got 'a xyz'"),
        ({"error": EngineError("it broke")}, "fault: autoregressive, number 0: it broke"),
    ],
    ids=str,
)  # fmt: skip
def test_an_answer_is_what_was_asked_or_cut_or_a_fault(last: dict[str, Any], outcome: str) -> None:
    one = asked()
    one(Chunk(text="a "))
    one(Chunk(**last))
    assert one.outcome() == outcome


def test_what_is_no_json_does_not_hold() -> None:
    one = asked(holds=lambda text: bool(json.loads(text)))
    one(Chunk(text="{", finish_reason="stop"))
    assert one.outcome().startswith("fault")


def test_a_guide_without_a_text_is_not_sent_as_one() -> None:
    assert asking("json", "") == {"guided_decoding_guide_type": "json"}
    assert asking("choice", "")["guided_decoding_guide"] == ""


def test_gaps_hold_what_was_cut_out() -> None:
    counts = set()
    for number in range(40):
        segments, gaps = cut("eine Größe von 12", Random(number))
        counts.add(len(gaps))
        left = iter(gaps)
        assert "".join(one if isinstance(one, str) else next(left) for one in segments) == "eine Größe von 12"
    assert counts == {1, 2}

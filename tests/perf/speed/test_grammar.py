"""What a schema costs and gives, on a toy engine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trimode.decoding import choice
from trimode.requests import generate
from trimode_perf.common.prompts import Prompt
from trimode_perf.speed import Context, grammar

pytestmark = pytest.mark.subprocess

ANSWER = {"a": "x", "b": 1, "c": [True, None], "d": 0.5}


def prompt(answer: object) -> Prompt:
    return Prompt("to_json", messages=({"role": "user", "content": "q"},), answer=json.dumps(answer))


def test_a_schema_fits_the_value_that_it_is_of() -> None:
    schema: Any = grammar.schema_of(ANSWER)
    assert schema["required"] == ["a", "b", "c", "d"]
    assert [schema["properties"][name]["type"] for name in ANSWER] == ["string", "integer", "array", "number"]
    assert schema["properties"]["c"]["items"] == {"anyOf": [{"type": "boolean"}, {"type": "null"}]}
    assert grammar.schema_of([])["items"] == {}


def test_tasks_are_those_whose_answer_is_an_object() -> None:
    asked = [prompt(ANSWER), prompt([1]), Prompt("d", text="t", answer="no JSON"), Prompt("code", text="t")]
    assert grammar.tasks(asked) == [(asked[0], ANSWER)]


def test_every_mode_is_counted_free_and_held(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Context, "heldout", Path("prompts"))
    monkeypatch.setattr(grammar, "load", lambda path, count: [prompt({"a": 1}), prompt({"b": "x"})])
    make, apply = vars(generate)["guide_of"], vars(choice)["only_allowed"]
    context.options = replace(context.options, max_tokens=40)
    found = grammar.measure(context)
    assert vars(generate)["guide_of"] is make, "the timed guides are gone"
    assert vars(choice)["only_allowed"] is apply
    modes = found["grammar"]["modes"]
    assert set(modes) == set(grammar.MODES)
    for mode, ways in modes.items():
        assert ways["held"]["objects"] == ways["drawn"]["objects"] == 2
        assert ways["free"]["share"] == ways["free"]["masks"] == 0 < ways["held"]["share"], mode
        assert 0 < ways["drawn"]["masks"] < ways["drawn"]["share"], mode
        assert ways["held"]["forwards"] <= ways["all chosen"]["forwards"]
    text = grammar.section(found)
    assert all(f"| {mode} |" in text for mode in grammar.MODES)
    assert len(grammar.claims(found)) == 3 * len(grammar.MODES)


def test_a_worse_answer_is_said(context: Context) -> None:
    del context
    counts = {"tokens": 10.0, "forwards": 5.0, "drafted": 4.0, "accepted": 2.0, "right": 2.0, "objects": 2.0}
    ways: Any = {way: {**counts, "share": 0.5, "masks": 0.01} for way in ("free", "held", "all chosen", "drawn")}
    found: Any = {"grammar": {"tasks": 2, "max_tokens": 9, "modes": {"diffusion": ways}}}
    assert all(claim.holds for claim in grammar.claims(found))
    ways["held"] = {**ways["held"], "right": 1.0, "objects": 1.0, "masks": 0.5}
    assert not any(claim.holds for claim in grammar.claims(found))


def test_without_such_tasks_there_is_nothing(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Context, "heldout", Path("prompts"))
    monkeypatch.setattr(grammar, "load", lambda path, count: [prompt([1])])
    assert grammar.measure(context) == {}

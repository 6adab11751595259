"""Grammars of strangers: each is compiled once, within limits, and a hostile one is refused and never hangs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from trimode.api.guide import GuideType
from trimode.errors import RequestError
from trimode.grammar import compiler as module
from trimode.grammar import trial
from trimode.grammar.compiled import MOST_BYTES_OF_STATES, TRIED_TOKENS, compile_grammar
from trimode.grammar.compiler import Compiler
from trimode.grammar.refusal import FIELD, bad_grammar
from trimode.grammar.source import Source
from trimode.grammar.worker import answer

from tests.support.grammars import END, NANO, SIZE, nano_lexicon, shown
from tests.support.layout import ROOT

pytestmark = pytest.mark.subprocess


@pytest.fixture(scope="module")
def grammars() -> Iterator[Compiler]:
    made = Compiler(lambda: NANO.read_text(encoding="utf-8"), SIZE, END)
    yield made
    made.close()


def nested(depth: int, around: Any) -> Any:
    schema: Any = {"type": "integer"}
    for _ in range(depth):
        schema = around(schema)
    return schema


HOSTILE: dict[str, tuple[GuideType, object]] = {
    "nested counts": ("regex", "((((a{100}){100}){100}){100}){100}"),
    "look-around": ("regex", "(?=a)b"),
    "back-reference": ("regex", r"(a)\1"),
    "open bracket": ("regex", "("),
    "nothing": ("regex", ""),
    "deep arrays": ("json_schema", nested(200, lambda inner: {"type": "array", "items": inner})),
    "many properties": ("json_schema", {"properties": {f"k{at}": {"type": "string"} for at in range(3000)}}),
    "endless value": ("json_schema", {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}),
    "other resource": ("json_schema", {"$ref": "http://example.org/schema"}),
    "no such part": ("json_schema", {"$ref": "#/nothing"}),
    "impossible": ("json_schema", {"type": "string", "minLength": 5, "maxLength": 3}),
    "large multiple": ("json_schema", {"type": "integer", "multipleOf": 1000000007}),
    "products": (
        "json_schema",
        {"allOf": [{"anyOf": [{"properties": {f"a{at}{to}": {}}} for to in range(6)]} for at in range(8)]},
    ),
    "rules of rules": ("ebnf_grammar", 'start: a{1000}\na: b{1000}\nb: c{1000}\nc: "x"{1000}\n'),
    "terminals of terminals": ("ebnf_grammar", 'start: T\nT: A{100}\nA: B{100}\nB: C{100}\nC: D{100}\nD: "x"\n'),
    "a number of 5,000 digits": ("regex", "a{" + "9" * 5000 + "}"),
    "a number beyond 64 bits": ("json_schema", {"type": "array", "maxItems": 10**30}),
    "half of a pair": ("json_schema", {"const": "\ud800"}),
    "half of a pair as it is": ("regex", "\ud800"),
    "half of a pair as a rule": ("ebnf_grammar", 'start: "\ud800"'),
    "half of a pair as a choice": ("choice", ["\ud800"]),
    "unknown rule": ("ebnf_grammar", "start: x\n"),
}


GROWING: dict[str, tuple[GuideType, str]] = {
    "any JSON": ("json_schema", "{}"),
    "texts with a length": ("json_schema", '{"type": "string", "minLength": 10, "maxLength": 2000}'),
    "an expression with counts": ("regex", "([a-z]{3,30}-[0-9]{2,20}){1,40}"),
    "a recursive grammar": ("ebnf_grammar", 'start: pair\npair: "(" pair? ")" | /[a-z]{1,20}/ ";" pair?\n'),
}
ENDS_ITS_PROCESS = ("products",)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_grammar_is_refused(grammars: Compiler, name: str) -> None:
    kind, guide = HOSTILE[name]
    grammars.compile(Source("regex", "f+"))
    process = grammars._trial and grammars._trial._process
    source = Source(kind, guide if isinstance(guide, str) else json.dumps(guide))
    for _ in range(2):  # the second time from memory
        with pytest.raises(RequestError) as caught:
            grammars.compile(source)
        assert caught.value.error_type == "bad_grammar"
        assert caught.value.field == FIELD
        assert len(str(caught.value).encode()) < 400
    if name not in ENDS_ITS_PROCESS:
        assert grammars._trial is not None
        assert grammars._trial._process is process, "the next one needs no new process"


def test_a_grammar_is_compiled_once_and_few_are_kept(grammars: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 2)
    first = grammars.compile(Source("regex", "a+"))
    assert grammars.compile(Source("regex", "a+")) is first
    grammars.compile(Source("regex", "b+"))
    assert grammars.compile(Source("regex", "a+")) is first
    grammars.compile(Source("regex", "c+"))
    assert grammars.compile(Source("regex", "a+")) is first, "the one that was used last stays"


def test_large_grammars_leave_room_for_few(grammars: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"property_{at}" for at in range(300)]
    large = Source("json_schema", json.dumps({"properties": {name: {"type": "string"} for name in names}}))
    small = Source("regex", "g+")
    grammars.compile(small)
    grammars.compile(large)
    assert grammars.knows(small)
    assert grammars._kept[large].size > 500_000 > grammars._kept[small].size
    monkeypatch.setattr(module, "MOST_BYTES_KEPT", 500_000)
    newest = Source("regex", "h+")
    grammars.compile(newest)
    assert grammars.knows(newest)
    assert not grammars.knows(large)
    assert 0 < grammars.kept_bytes <= 500_000


def test_states_that_answers_went_through_count_and_are_left_out_in_time(
    grammars: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, other = Source("json_schema", json.dumps({"type": "string", "maxLength": 500})), Source("regex", "i+")
    first = grammars.compile(source)
    before = grammars.kept_bytes
    text = first.matcher()
    for token in nano_lexicon().tokens.tokenize_str('"' + "some words " * 40):
        text.take(int(token))
    assert first.use.tokens == text.taken
    assert grammars.kept_bytes - before == first.grown_bytes == first.size * text.taken // TRIED_TOKENS > 0
    text.back(20)
    for token in nano_lexicon().tokens.tokenize_str(" words"):
        text.take(int(token))
    assert grammars.compile(source) is first
    monkeypatch.setattr(module, "MOST_BYTES_GROWN", first.grown_bytes - 1)
    assert not grammars.knows(source)
    renewed = grammars.compile(source)
    assert renewed is not first and grammars.knows(source) and grammars.compile(source) is renewed
    assert (renewed.size, renewed.need, renewed.shortest) == (first.size, first.need, first.shortest)
    assert renewed.grown_bytes == 0 and text.allowed().any(), "the answer on its way goes on"
    grammars.compile(other)
    renewed.use.tokens = 10**9
    monkeypatch.setattr(module, "MOST_BYTES_GROWN", 2 * MOST_BYTES_OF_STATES)
    grammars.compile(other)
    assert not grammars.knows(source), "what its states are counted with leaves no room for it"


@pytest.mark.parametrize("name", GROWING)
def test_what_is_counted_is_no_less_than_what_is_taken(grammars: Compiler, name: str) -> None:
    """Tokens are drawn at random, which makes more states than texts do."""
    made = grammars.compile(Source(*GROWING[name]))
    script = f"import sys\nfrom tests.support.grammar_growth import grown\nprint(grown({GROWING[name]!r}, 4000))"
    grown = int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=ROOT).stdout)
    counted = made.size + min(made.size * 4000 // TRIED_TOKENS, MOST_BYTES_OF_STATES)
    assert grown <= counted


def test_the_shortest_text_comes_with_the_grammar(grammars: Compiler) -> None:
    made = grammars.compile(Source("json", ""))
    assert made.shortest is not None
    assert shown(made.shortest) == "{}"


def test_a_grammar_that_takes_too_long_ends_its_process_alone(
    grammars: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "WALL_SECONDS", 0.001)
    with pytest.raises(RequestError, match="within 2 s of processor time"):
        grammars.compile(Source("json_schema", json.dumps({"enum": [f"value {at}" for at in range(3000)]})))
    monkeypatch.undo()
    grammars.compile(Source("regex", "e+"))


def test_what_the_process_says_is_what_it_found() -> None:
    assert answer(nano_lexicon(), Source("choice", '["a"]'))["shortest"] == nano_lexicon().tokens.tokenize_str("a")
    refused = answer(nano_lexicon(), Source("json_schema", '{"not": {}}'))
    assert refused == {"refused": "must hold no keyword that cannot be enforced", "found": "not at $"}


def test_a_grammar_that_fits_nothing_is_refused() -> None:
    with pytest.raises(RequestError, match="must fit some text"):
        compile_grammar('{"grammars": [{"lark_grammar": "start: \\"\\""}]}', nano_lexicon())
    assert bad_grammar("must x", "y").field == FIELD

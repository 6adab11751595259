"""Structural tags: what they take and refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trimode.errors import RequestError
from trimode.grammar.compiled import compile_grammar
from trimode.grammar.schemas.structural_tag import MOST_STRUCTURES, MOST_TRIGGERS
from trimode.grammar.source import Source, grammar_text

from tests.support.grammars import ids, nano_lexicon

NUMBER: dict[str, Any] = {"begin": "<f=number>", "schema": {"type": "integer"}, "end": "</f>"}
FLAG: dict[str, Any] = {"begin": "<f=flag>", "schema": {"type": "boolean"}, "end": "</f>"}
LISTED: dict[str, Any] = {"begin": "LIST", "schema": {"type": "array", "items": {"enum": ["é", '"']}}, "end": ""}
TAGS: dict[str, Any] = {"type": "structural_tag", "structures": [NUMBER, FLAG, LISTED], "triggers": ["<f=", "LIST"]}


def follows(tags: dict[str, Any], text: str) -> bool:
    """Whether the grammar takes a text, which may end there."""
    at = compile_grammar(grammar_text(Source("structural_tag", json.dumps(tags))), nano_lexicon()).start.deep_copy()
    tokens = ids(text)
    return bool(at.try_consume_tokens(tokens) == len(tokens) and at.is_accepting())


@pytest.mark.parametrize(
    "text",
    ["", "words\nand more", "a < b", "<f", "<g=number>x", "<f=number>5</f>", 'a <f=flag>true</f> LIST["é", "\\""] b',
     "<f=number>5</f><f=number>6</f>"],
)  # fmt: skip
def test_words_are_free_and_tags_hold(text: str) -> None:
    assert follows(TAGS, text)


@pytest.mark.parametrize(
    "text", ["<f=", "<f=other>5</f>", "<f=number>true</f>", "<f=number>5</g>", "a LIST", 'LIST["x"]', "<f=flag>true"]
)
def test_what_breaks_a_tag_does_not_fit(text: str) -> None:
    assert not follows(TAGS, text)


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({"format": {}}, "must have no key but"),
        ({"type": "json_schema"}, "must have structural_tag as type"),
        ({"type": None}, "must have structural_tag as type"),
        ({"triggers": ["<f=", "LIST", "<f"]}, "must hold no trigger that contains another, got '<f=' and '<f'"),
        ({"triggers": ["LIST", "IS", "<f="]}, "must hold no trigger that contains another"),
        ({"structures": []}, f"must hold 1 to {MOST_STRUCTURES} structures"),
        ({"structures": [NUMBER] * (MOST_STRUCTURES + 1)}, f"must hold 1 to {MOST_STRUCTURES} structures"),
        ({"structures": {}}, f"must hold 1 to {MOST_STRUCTURES} structures"),
        ({"structures": [{"begin": "<f=x>", "end": ""}]}, r"the keys begin, schema, end as structures\[0\]"),
        ({"structures": [{**NUMBER, "end": None}]}, r"texts as begin and end of structures\[0\]"),
        ({"structures": [{**NUMBER, "schema": "{}"}]}, r"a JSON schema, an object, as schema of structures\[0\]"),
        ({"structures": [{**NUMBER, "schema": {"not": {}}}]}, "must hold no keyword that cannot be enforced"),
        ({"structures": [{**NUMBER, "begin": "x"}]}, r"a trigger with which begin of structures\[0\] begins"),
        (
            {"triggers": ["<f="] * (MOST_TRIGGERS + 1)},
            f"must hold at most {MOST_TRIGGERS} triggers, got {MOST_TRIGGERS + 1} triggers",
        ),
        ({"triggers": []}, "must hold a list of triggers"),
        ({"triggers": ["<f=", ""]}, "must hold a list of triggers"),
        ({"triggers": ["<f=", "LIST", "x"]}, "must hold only triggers with which the begin of a structure begins"),
    ],
)  # fmt: skip
def test_what_is_no_tag_is_refused_by_name(change: dict[str, Any], limit: str) -> None:
    with pytest.raises(RequestError, match=limit) as caught:
        grammar_text(Source("structural_tag", json.dumps({**TAGS, **change})))
    assert caught.value.error_type == "bad_grammar"


@pytest.mark.parametrize("text", ["[]", "5", "nope"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="must be"):
        grammar_text(Source("structural_tag", text))


def test_as_many_triggers_as_structures_are_taken() -> None:
    structures = [{**NUMBER, "begin": f"<{at}>"} for at in range(MOST_STRUCTURES)]
    tags = {"structures": structures, "triggers": [one["begin"] for one in structures]}
    assert grammar_text(Source("structural_tag", json.dumps(tags)))

"""Guides by chance: every keyword that is enforced comes, each kind too, and each guide has texts that it takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from trimode.api.guide import GUIDE_TYPES
from trimode.grammar.schemas.schema_check import ENFORCED
from trimode_perf.fuzz.guides import any_guide

from tests.support.grammars import compiled, shown

MANY, SOME = range(1_500), range(60)


def keywords(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inside in value.items():
            yield name
            yield from keywords(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from keywords(inside)


def test_every_keyword_and_every_kind_comes() -> None:
    guides = [any_guide(number) for number in MANY]
    assert {one.kind for one in guides} == set(GUIDE_TYPES) - {"structural_tag"}, "words have no end of their own"
    schemas = [json.loads(one.guide) for one in guides if one.kind == "json_schema"]
    assert {name for one in schemas for name in keywords(one)} >= ENFORCED


def test_a_number_has_one_guide() -> None:
    assert [any_guide(number)[:2] for number in SOME] == [any_guide(number)[:2] for number in SOME]


def test_the_shortest_text_of_each_guide_is_taken_and_junk_is_not() -> None:
    found = 0
    for number in SOME:
        guided = any_guide(number)
        shortest = compiled(guided.kind, guided.guide).shortest
        if shortest is not None:
            found += 1
            text = shown(shortest)
            assert guided.holds(text), (guided.guide, text)
            if guided.kind not in ("json", "json_schema"):
                assert not guided.holds(f"{text}\x00")
    assert found > len(SOME) * 0.9

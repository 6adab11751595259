"""Bodies by chance: a seed makes them again, and they are what they should be."""

from __future__ import annotations

import json
from random import Random

import pytest
from trimode.api.fields import FIELDS
from trimode_perf.fuzz.bodies import MOST_TOKENS, OPENAI, damaged, encoded, fields_of, openai_body, value_of


def test_a_seed_makes_the_same_again() -> None:
    made = [[encoded(fields_of(draw), draw) for _ in range(50)] for draw in (Random(3), Random(3), Random(4))]
    assert made[0] == made[1] != made[2]


def test_no_request_asks_for_much() -> None:
    draw = Random(0)
    for _ in range(2000):
        most = fields_of(draw)["max_tokens"]
        assert not isinstance(most, int) or most <= MOST_TOKENS


@pytest.mark.parametrize("path", OPENAI)
def test_some_bodies_are_good_and_most_are_not(path: str) -> None:
    draw = Random(1)
    made = [openai_body(path, draw) for _ in range(200)]
    assert OPENAI[path][0] in made
    assert len({json.dumps(body, sort_keys=True) for body in made}) > 50


def test_every_field_gets_values_of_its_kind_and_others() -> None:
    draw = Random(2)
    for field in FIELDS:
        kinds = {type(value_of(field, draw)) for _ in range(200)}
        assert len(kinds) > 3, field.name


def test_damage_changes_bytes() -> None:
    draw = Random(5)
    assert sum(damaged(b'{"a": 1}', draw) != b'{"a": 1}' for _ in range(100)) > 90
    assert isinstance(damaged(b"", draw), bytes)


@pytest.mark.parametrize("path", OPENAI)
def test_no_body_asks_for_more_tokens_than_it_takes_a_moment_to_make(path: str) -> None:
    draw, good = Random(0), OPENAI[path][0]
    for _ in range(2000):
        made = openai_body(path, draw)
        for name in ("max_tokens", "max_output_tokens"):
            if name in good:
                assert made[name] is not None and not (isinstance(made[name], int) and made[name] > MOST_TOKENS)

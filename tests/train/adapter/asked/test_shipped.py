"""Subjects from packages: functions, passages, puzzles."""

from __future__ import annotations

import ast
from itertools import islice
from random import Random

from trimode_train.adapter.asked.shipped import (
    LONGEST_FUNCTION,
    PASSAGE,
    PUZZLES,
    functions,
    passages,
    puzzle,
)
from trimode_train.data.sources import SOURCES


def test_functions_are_short_and_documented() -> None:
    for place, code, says in islice(functions(), 5):
        (node,) = ast.parse(code).body
        assert isinstance(node, ast.FunctionDef) and ast.get_docstring(node)
        assert len(code) <= LONGEST_FUNCTION and says
        assert any(place.startswith(source.name) for source in SOURCES)


def test_passages_are_of_the_length_that_is_asked_for() -> None:
    found = list(islice(passages(), 20))
    assert len(found) == 20
    assert all(PASSAGE[0] <= len(text) <= PASSAGE[1] for _, text in found)


def test_puzzles_are_the_packages() -> None:
    name, text = puzzle(Random(1))
    assert name in PUZZLES and text
    assert puzzle(Random(1)) == (name, text)

"""Filling gaps on the toy engine: windows, seams, sizes, several gaps, and what may not be asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from trimode.runtime import Runtime

from tests.unit.toy import ToyEngine, toy_runtime


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = toy_runtime(ToyEngine())
    yield made
    made.close()


def test_try(runtime):
    for given in (
        {"text_input": "def f", "suffix": "return x\n", "infill_tokens": 3},
        {"text_input": "", "suffix": "ü", "infill_tokens": 1},
        {"text_input": "abc", "suffix": "", "infill_tokens": 20},
        {"text_input": "abcdef", "suffix": "xyz" * 9, "infill_tokens": 40, "exclude_input_in_output": False},
        {"text_input": "abcdef", "suffix": "xyz" * 9, "return_candidates": True, "seed": 3},
        {"segments": ["a", {}, "b", {"infill_tokens": 2}, "c"], "exclude_input_in_output": False},
    ):
        chunk = runtime.generate(given)
        print(given, repr(chunk.text), chunk.fills, chunk.candidates, chunk.counters)


def test_try_revise(runtime):
    for given in (
        {"text": "hello world, this is a text é🙂 and more of it"},
        {"text": "hello world, this is a text é🙂 and more of it", "accept": "always"},
        {"text": "hello world, this is a text", "spans": [[0, 1], [6, 11]], "accept": "always"},
        {"text": "hello world, this is a text", "revise_fraction": 0.3, "revise_rounds": 4},
    ):
        chunk = runtime.generate(given)
        print(given, repr(chunk.text), chunk.edits, chunk.counters)

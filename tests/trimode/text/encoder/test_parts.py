"""Which parts of a tokenizer are known to take a bounded time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trimode.text.encoder.parts import is_simple, unusual

NANO = Path(__file__).parents[4] / "checkpoints" / "nano" / "tokenizer.json"
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)


def replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def sequence(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"normalizer": {"type": "Sequence", "normalizers": list(parts)}}


@pytest.mark.parametrize("place", ["normalizer", "pre_tokenizer", "decoder"])
def test_nanos_tokenizer_is_usual(place: str) -> None:
    assert unusual(json.loads(NANO.read_text(encoding="utf-8")), place) is None


@pytest.mark.parametrize("expression", [CL100K, TEKKEN, r"(?:a|b)+", r"[(a+)]+", r"\(a+\)+", r"(a+)?b", "a{1,3}"])
def test_expressions_of_released_tokenizers_are_simple(expression: str) -> None:
    assert is_simple(expression)


@pytest.mark.parametrize(
    "expression", [r"(a+)+b", r"((a*)b)*", r"(?:x(?:y{2,})z){3}", r"(a)\1+", r"(?R)", "a)", "a" * 1001]
)
def test_an_expression_that_may_double_its_time_is_not(expression: str) -> None:
    assert not is_simple(expression)


def test_sentencepieces_replacement_is_usual() -> None:
    parts = sequence({"type": "Prepend", "prepend": "▁"}, replace({"String": " "}, "▁"))
    assert unusual(parts, "normalizer") is None


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (sequence(*[replace({"String": "a"}, "aaaa")] * 4), "Replace"),
        (sequence(replace({"Regex": "a"}, "b")), "Replace"),
        (sequence(replace({"String": "a"}, "b" * 65)), "Replace"),
        (sequence({"type": "Prepend", "prepend": "x" * 100}), "Prepend"),
        (sequence(*[{"type": "NFC"}] * 9), "9 parts"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": ""}}, "Precompiled"),
    ],
)
def test_what_may_make_a_text_much_longer_is_not(parts: dict[str, Any], said: str) -> None:
    assert unusual(parts, "normalizer") == said


def test_a_place_may_be_empty() -> None:
    assert unusual({"normalizer": None}, "normalizer") is None

"""Guides that must be refused: each is."""

from __future__ import annotations

import json

import pytest
from trimode.grammar.source import Source
from trimode.grammar.worker import answer
from trimode_perf.fuzz.unsupported import CHOICES, EXPRESSIONS, GRAMMARS, KEYWORDS, SCHEMAS, unsupported

from tests.support.grammars import nano_lexicon


@pytest.mark.parametrize("number", range(120))
def test_each_is_refused(number: int) -> None:
    guide = unsupported(number)
    assert "refused" in answer(nano_lexicon(), Source(guide.kind, guide.guide)), guide


def test_all_of_them_come() -> None:
    guides = [unsupported(number).guide for number in range(1_200)]
    assert set(guides) >= {*SCHEMAS, *EXPRESSIONS, *GRAMMARS, *CHOICES}
    assert all(any(json.dumps(name) in guide for guide in guides) for name in KEYWORDS)

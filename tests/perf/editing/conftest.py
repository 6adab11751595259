"""Held-out prompts with answers, and the tokenizer that reads them."""

from __future__ import annotations

import pytest
from trimode.text.tokenizer import Tokenizer
from trimode_perf.common import NANO
from trimode_perf.common.prompts import Prompt, load


@pytest.fixture
def prompts() -> list[Prompt]:
    found = load(NANO / "heldout.jsonl", 3)
    return [prompt for prompt in found if prompt.answer]


@pytest.fixture
def tokenizer() -> Tokenizer:
    found = Tokenizer.load(NANO)
    assert found is not None
    return found

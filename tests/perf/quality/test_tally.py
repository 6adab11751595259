"""What is counted of answers."""

from __future__ import annotations

import math
from typing import Any

import pytest
from trimode.api.answer import Chunk
from trimode_perf.common.ask import Answer
from trimode_perf.common.prompts import Prompt
from trimode_perf.quality import tally

BY_DOMAIN = {"asked": 2, "exact": 2, "same_as_autoregressive": 2, "tokens": 60, "forwards": 10, "cycles": 5}


def asked(count: int) -> list[Any]:
    return [Prompt("d", text=f"prompt {number}") for number in range(count)]


def answers(*ids: list[int], text: str = "") -> list[Any]:
    return [Answer(Chunk(text, list(one)), [len(one) - 1]) for one in ids]


def test_an_exact_answer_has_every_token_and_the_end() -> None:
    given = answers([5, 6, 2], [5, 6], [5, 7, 2])
    counts = tally.by_domain(asked(3), given, [[5, 6, 2]] * 3, answers(*[[5, 6, 2]] * 3))
    assert counts["d"]["exact"] == counts["d"]["same_as_autoregressive"] == 1
    assert counts["d"]["accepted"] == {"1": 1, "2": 2}


def test_a_text_that_cannot_be_checked_is_not_wrong() -> None:
    given = answers([5])
    assert tally.by_domain(asked(1), given, [None], given)["d"]["exact"] is None


@pytest.mark.parametrize(
    ("domain", "text", "parses"),
    [
        ("to_json", '{"a": 1}', 1),
        ("to_json", '{"a": }', 0),
        ("function", "```python\ndef f(x):\n    return x\n```", 1),
        ("function", "```python\ndef f(x:\n```", 0),
        ("function", "", 0),
    ],
)
def test_replies_with_a_grammar_are_parsed(domain: str, text: str, parses: int) -> None:
    given, prompts = answers([5], text=text), [Prompt(domain, answer="a")]
    assert tally.by_domain(prompts, given, [[5]], given)[domain]["parsed"] == parses


def test_the_average_gives_every_domain_the_same_weight() -> None:
    domains = {"a": {**BY_DOMAIN, "asked": 1, "exact": 1}, "b": {**BY_DOMAIN, "asked": 9, "exact": 0}}
    total = tally.total(domains, ["a", "b"])
    assert (total["accuracy"], total["exact"], total["asked"], total["tokens"]) == (0.5, 1, 10, 120)


def test_a_cycle_gives_what_was_accepted_without_the_first_token() -> None:
    assert tally.per_cycle({"tokens": 9, "asked": 1, "accepted": {"2": 1, "3": 2}}) == pytest.approx(8 / 3)


def test_perplexity_together_is_by_token() -> None:
    one, two = {"tokens": 1, "bytes": 3, "nats": 4.0}, {"tokens": 3, "bytes": 5, "nats": 0.0}
    assert tally.together([one, two])["perplexity"] == pytest.approx(math.e, abs=1e-4)

"""The held-out prompts: how they are read, shared out and checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from trimode_perf.common.prompts import DROPPED, Prompt, claimed, halves, load, spread


def test_domains_take_turns(heldout: Path) -> None:
    assert [prompt.domain for prompt in load(heldout, 2)] == ["code", "list", "sum", "list", "sum"]


def test_fewer_of_each_domain_are_the_first_of_more(heldout: Path) -> None:
    more = load(heldout, 3)
    assert all(load(heldout, few) == more[: len(load(heldout, few))] for few in (1, 2, 3, 4))


def test_a_spread_of_prompts_is_even() -> None:
    assert spread(list("abcdefgh"), 4) == list("aceg")


def test_a_prompt_without_messages_is_plain_text(heldout: Path) -> None:
    assert load(heldout, 1)[0].wire == {"text_input": "import"}


@pytest.mark.parametrize(("text", "right"), [("a b", True), (" a  b\n", True), ("a", False), ("a b c", False)])
def test_a_right_answer_is_word_for_word(text: str, right: bool) -> None:
    assert Prompt("d", answer="a b").answered_by(text) is right


def test_each_domain_is_halved(heldout: Path) -> None:
    first, second = halves(load(heldout, 2))
    assert [prompt.domain for prompt in first] == ["code", "list", "sum"]
    assert [prompt.domain for prompt in second] == ["list", "sum"]


def test_what_is_claimed_has_an_answer_and_was_not_dropped(heldout: Path) -> None:
    assert [prompt.domain for prompt in claimed(load(heldout, 1))] == ["list", "sum"]
    assert claimed([Prompt(name, answer="a") for name in DROPPED]) == []

"""Prompts are held out by wording and subject, and the same seed gives the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from trimode_train.adapter.asked import KINDS, Kind, draw, listed


def _number(rng: Random) -> tuple[str, Mapping[str, str]]:
    number = str(rng.randrange(40))
    return number, {"number": number}


WORDINGS = tuple(f"{word} {{number}}?" for word in ("What is", "Say", "Add", "Name", "Count", "Take", "Give", "Find"))
NUMBERS = {"number": Kind("number", WORDINGS, _number, ("Why?",))}


def test_no_wording_and_no_subject_is_on_both_sides() -> None:
    sides = [listed(NUMBERS, 1000, 1, held_out) for held_out in (False, True)]
    assert all(len(side) > 5 for side in sides)
    for part in ("wording", "subject", "text"):
        training, held_out = ({getattr(one, part) for one in side} for side in sides)
        assert not training & held_out


def test_the_same_seed_gives_the_same_prompts_each_once() -> None:
    one, two, other = (listed(NUMBERS, 20, seed, False) for seed in (1, 1, 2))
    assert one == two != other
    assert len({asked.text for asked in one}) == 20


def test_a_kind_without_held_out_wordings_gives_none() -> None:
    kind = next(
        Kind("k", (wording,), _number)
        for wording in WORDINGS
        if all(Kind("k", (wording,), _number).make(Random(seed)).held_out is not True for seed in range(50))
    )
    assert draw(kind, Random(1), held_out=True) is None
    assert listed({"k": kind}, 5, 1, True) == []


def test_every_wording_is_filled_by_its_kind() -> None:
    for kind in KINDS.values():
        for wording in kind.wordings:
            made = Kind(kind.name, (wording,), kind.fill).make(Random(3))
            assert made.text and "{thing}" not in made.text

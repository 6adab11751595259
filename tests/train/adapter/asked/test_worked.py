"""Prompts that give work: JSON in them is JSON, numbers and names come from their lists."""

from __future__ import annotations

import json
from random import Random

from trimode_train.adapter.asked.base import Kind, draw
from trimode_train.adapter.asked.worked import WORKED


def test_every_kind_has_prompts_to_train_on() -> None:
    for kind in WORKED:
        asked = draw(kind, Random(1), held_out=False)
        assert asked is not None and asked.kind == kind.name


def test_records_in_prompts_are_json() -> None:
    (kind,) = [one for one in WORKED if one.name == "json"]
    made = Kind("json", ("{record}",), kind.fill).make(Random(2))
    assert set(json.loads(made.text)) == {"name", "age", "city", "job"}

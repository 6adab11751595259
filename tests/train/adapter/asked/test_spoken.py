"""What people say: every kind has prompts to train on."""

from __future__ import annotations

from random import Random

from trimode_train.adapter.asked.base import draw
from trimode_train.adapter.asked.spoken import SPOKEN


def test_every_kind_has_prompts_to_train_on() -> None:
    for kind in SPOKEN:
        asked = draw(kind, Random(1), held_out=False)
        assert asked is not None and asked.kind == kind.name and asked.held_out is False

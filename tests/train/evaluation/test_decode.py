"""The three ways of decoding, in torch."""

from __future__ import annotations

from random import Random

from trimode_train.evaluation.decode import autoregressive, self_speculation
from trimode_train.model.model import Model


def test_self_speculation_gives_the_autoregressive_text(model: Model) -> None:
    for seed in range(5):
        prompt = [Random(seed).randrange(128, 512) for _ in range(7)]
        slow, fast = autoregressive(model, prompt, 24), self_speculation(model, prompt, 24, 8)
        assert fast.ids[:24] == slow.ids

"""The trainer: it learns, goes on as if never interrupted, and follows its learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from trimode_train.data.packing import NoiseOptions
from trimode_train.data.recipe import Recipe
from trimode_train.training.trainer import Trainer, learning_rate


def test_training_reduces_the_loss(make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer("a")
    losses: list[float] = []
    record = trainer.reporter.step

    def noted(step: int, progress: float, next_token: float, masked: float, *values: Any) -> None:
        losses.append(next_token + masked)
        record(step, progress, next_token, masked, *values)

    monkeypatch.setattr(trainer.reporter, "step", noted)
    trainer.run([], max_steps=25)
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


@pytest.mark.parametrize("second_look", [False, True])
def test_a_resumed_run_equals_an_uninterrupted_one_wherever_it_stopped(
    make_trainer: Callable[..., Trainer], second_look: bool
) -> None:
    noise = NoiseOptions(second_look=second_look)  # three steps: stopped between a first and a second look
    whole = make_trainer("whole", noise)
    whole.run([], max_steps=6)
    assert whole.drawn == (3 if second_look else 6)
    make_trainer("parts", noise).run([], max_steps=3)
    resumed = make_trainer("parts", noise)
    resumed.resume()
    resumed.run([], max_steps=6)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_the_learning_rate_warms_up_holds_and_decays() -> None:
    options = Recipe("x").optim
    rates = [learning_rate(p, options) for p in (0.0, options.warmup, options.decay_from - 0.01, 1.0)]
    assert rates == [0.0, 1.0, 1.0, 0.0]

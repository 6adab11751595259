"""What a run leaves while it trains: lines of its log, and the rate of each group."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from trimode_train.adapter.adapter_run import AdapterRun
from trimode_train.adapter.draft_objective import DraftLosses
from trimode_train.adapter.recipe import AdapterRecipe
from trimode_train.model import lora
from trimode_train.model.model import Model
from trimode_train.training.bar import Bar

from tests.support.still_clock import StillClock


class Pulled(AdapterRun[int, int]):
    """Pulls every B towards 1."""

    def losses(self, batch: int) -> DraftLosses:
        named = lora.weights(self.model)
        off = torch.stack([(one - 1).square().mean() for name, one in named.items() if "lora_B" in name]).sum()
        return DraftLosses(off, off.detach(), torch.tensor(0.5))

    def tokens_of(self, batch: int) -> int:
        return batch

    def per_cycle(self, asked: list[int], adapter: bool) -> float:
        return 2.0 if adapter else 1.0


@pytest.fixture
def run(model: Model, tmp_path: Path) -> Pulled:
    return Pulled(AdapterRecipe("x", rank=2, alpha=4), model, StillClock(), tmp_path, Bar("training"))


def test_a_step_counts_its_tokens_and_moves_the_adapter(run: Pulled) -> None:
    before = lora.snapshot(run.model)
    run.optimiser.param_groups[1]["factor"] = 0.0
    first = run.train_step(3)
    second = run.train_step(4)
    assert float(second.distance) < float(first.distance)
    assert (run.step, run.tokens) == (2, 7)
    frozen = list(before)[1]
    assert torch.equal(lora.snapshot(run.model)[frozen], before[frozen])


def test_a_measurement_is_logged_with_the_tokens_trained_on(run: Pulled, tmp_path: Path) -> None:
    run.train_step(5)
    run.evaluate([1])
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert json.loads(line) == {"step": 1, "tokens": 5, "tokens_per_cycle": 2.0, "without_adapter": 1.0}
    assert (tmp_path / "linear_spec_lora/adapter_config.json").exists()

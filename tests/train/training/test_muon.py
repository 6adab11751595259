"""The optimiser of matrices: what torch's Muon must do for our rates, and states that this project's own Muon saved."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from trimode_train.data.recipe import OptimOptions
from trimode_train.training.start import muon
from trimode_train.training.trainer import as_torchs

OPTIONS = OptimOptions(muon_lr=0.01, weight_decay=0.1)
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def own_update(momentum: Tensor, gradient: Tensor) -> Tensor:
    """The update of a matrix as this project's own Muon made it; changes `momentum`."""
    a, b, c = COEFFICIENTS
    momentum.lerp_(gradient, 0.05)
    x = gradient.lerp(momentum, 0.95).bfloat16()
    x = x if x.shape[0] <= x.shape[1] else x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = x if gradient.shape == x.shape else x.T
    update: Tensor = x.float() * (0.2 * max(gradient.shape) ** 0.5)
    return update


@pytest.mark.parametrize("shape", [(16, 48), (48, 16)])
def test_updates_have_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.zeros(shape, requires_grad=True)
    matrix.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    muon([matrix], OPTIONS).step()
    values = torch.linalg.svdvals(matrix.detach() / (OPTIONS.muon_lr * 0.2 * max(shape) ** 0.5))
    assert values.min() > 0.5 and values.max() < 1.5


@pytest.mark.parametrize("shape", [(32, 32), (16, 48), (48, 16)])
def test_a_run_of_this_projects_own_muon_goes_on_as_it_would_have(shape: tuple[int, int]) -> None:
    random = torch.Generator().manual_seed(1)
    momentum, matrix = torch.randn(shape, generator=random), torch.randn(shape, generator=random, requires_grad=True)
    group = {"lr": 0.01, "momentum": 0.95, "weight_decay": 0.1, "params": [0]}
    saved: dict[str, Any] = {"state": {0: {"momentum": momentum.clone()}}, "param_groups": [group]}
    optimiser = muon([matrix], OPTIONS)
    optimiser.load_state_dict(as_torchs(optimiser, saved))
    for _ in range(3):
        before = matrix.detach().clone()
        matrix.grad = torch.randn(shape, generator=random)
        optimiser.step()
        expected = own_update(momentum, matrix.grad)
        taken = (before * (1 - 0.01 * 0.1) - matrix.detach()) / 0.01
        assert float((taken - expected).norm() / expected.norm()) < 0.05  # both are bfloat16, rounded elsewhere
    assert torch.equal(optimiser.state[matrix]["momentum_buffer"], momentum)


def test_a_state_of_today_is_taken_as_it_is() -> None:
    matrix = torch.zeros(4, 8, requires_grad=True)
    matrix.grad = torch.ones(4, 8)
    optimiser = muon([matrix], OPTIONS)
    optimiser.step()
    assert as_torchs(optimiser, optimiser.state_dict()) == optimiser.state_dict()

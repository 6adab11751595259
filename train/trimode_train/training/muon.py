"""The optimiser Muon; it orthogonalises matrices of one shape together, in few large products and not many small ones.

Knows matrices and their gradients. Knows nothing about the model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

_QUINTIC = (3.4445, -4.7750, 2.0315)  # Newton-Schulz coefficients of the Muon paper: steep at zero, not convergent


def orthogonalise(stack: Tensor, steps: int = 5) -> Tensor:
    """Push the singular values of n matrices, (n, rows, columns), towards 1, in bfloat16."""
    a, b, c = _QUINTIC
    x = stack.bfloat16()
    wide = x.shape[1] <= x.shape[2]
    if not wide:
        x = x.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)  # (n, short, short)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if wide else x.transpose(1, 2)).to(stack.dtype)


class Muon(Optimizer):
    """Orthogonalised momentum, scaled to the size of AdamW's updates, so that AdamW's learning rates can be used."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            shapes: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes[tuple(parameter.shape)].append(parameter)
            for (rows, columns), parameters in shapes.items():
                steps = []
                for parameter in parameters:
                    state = self.state[parameter]
                    if "momentum" not in state:
                        state["momentum"] = torch.zeros_like(parameter)
                    state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                    steps.append(parameter.grad.lerp(state["momentum"], group["momentum"]))  # Nesterov
                update = orthogonalise(torch.stack(steps)) * (0.2 * max(rows, columns) ** 0.5)
                for parameter, change in zip(parameters, update, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(change, alpha=-group["lr"])

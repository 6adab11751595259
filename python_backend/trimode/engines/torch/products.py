"""The layers' products: by a matrix in the model's type, or by one in fp8 whose activations are rounded to fp8 too.

Every scale belongs to one output channel or to one token, so that a row's result does not depend on its neighbours and
nothing is calibrated. Knows nothing of layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import EngineError

FP8 = torch.float8_e4m3fn
LARGEST = 448.0
"""The largest value of e4m3."""
SMALLEST = 1e-12
"""The least of what a row of zeros is divided by; a divisor of 0 would make it NaN."""
MULTIPLE = 16
"""CUDA's product of fp8 matrices takes widths that are multiples of it (`torch._scaled_mm`); the processor's any."""
LEAST_CAPABILITY = (8, 9)
"""The compute capability from which on GPUs multiply fp8."""


@dataclass(frozen=True)
class Fp8Matrix:
    """A matrix that stands for codes * scales.

    Attributes:
        codes: (out, in) e4m3.
        scales: (1, out) float32.
    """

    codes: Tensor
    scales: Tensor

    @classmethod
    def of(cls, matrix: Tensor) -> Self:
        """Round a matrix (out, in), each output channel by its own scale."""
        codes, scales = rounded(matrix)
        return cls(codes, scales.T.contiguous())


Matrix: TypeAlias = Tensor | Fp8Matrix
"""What a product multiplies by  # (out, in)."""


def rounded(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes (n, width) and scales (n, 1) float32 of rows; a row that is not finite has the scale NaN or inf."""
    wide = rows.float()
    scales = wide.abs().amax(dim=-1, keepdim=True).clamp_min(SMALLEST) / LARGEST
    return (wide / scales).to(FP8), scales


def product(x: Tensor, matrix: Matrix) -> Tensor:
    """Return the product in the type of `x`  # (..., in) by (out, in) -> (..., out), of one row at least.

    In fp8 a row that is not finite gives NaN everywhere.
    """
    if isinstance(matrix, Tensor):
        return F.linear(x, matrix)
    codes, scales = rounded(x.flatten(0, -2))
    out = torch._scaled_mm(codes, matrix.codes.T, scale_a=scales, scale_b=matrix.scales, out_dtype=x.dtype)
    return out.view(*x.shape[:-1], -1)


def check_gpu(widths: dict[str, int], capability: tuple[int, int]) -> None:
    """Refuse fp8 on a GPU that cannot multiply it, or widths that its product does not take.

    Args:
        widths: by name. capability: the GPU's compute capability.

    Raises:
        EngineError: names the limit and the value.
    """
    if capability < LEAST_CAPABILITY:
        least, found = (".".join(map(str, one)) for one in (LEAST_CAPABILITY, capability))
        raise EngineError(f"precision: fp8 needs compute capability {least} or more, this GPU has {found}")
    for name, width in widths.items():
        if width % MULTIPLE:
            raise EngineError(f"precision: fp8 needs multiples of {MULTIPLE} on a GPU, {name} is {width}")

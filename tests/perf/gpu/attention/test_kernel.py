"""This project's kernel, by Triton's interpreter on the processor: any shape, any number of parts, the same answer."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="make test-train has PyTorch")
if importlib.util.find_spec("triton") is None:
    pytest.skip("triton, of 1 GB, is in no environment of this project", allow_module_level=True)

from trimode_perf.gpu.attention.measure import TOLERANCE  # noqa: E402
from trimode_perf.gpu.attention.problem import Heads, Problem, Shape, error  # noqa: E402
from trimode_perf.gpu.attention.variants import by_lengths  # noqa: E402
from trimode_perf.gpu.device import Device  # noqa: E402

HEADS = Heads(4, 2, 16)


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton decides when it is imported whether kernels are compiled, which takes a GPU."""
    monkeypatch.setenv("TRITON_INTERPRET", "1")


@pytest.mark.parametrize("parts", [1, 4, 16])
@pytest.mark.parametrize(
    "shape", [Shape(1, 1, 1), Shape(1, 1, 256), Shape(1, 5, 513), Shape(3, 3, 1200), Shape(2, 17, 265)], ids=str
)
def test_every_shape_in_any_number_of_parts(shape: Shape, parts: int) -> None:
    from trimode_perf.gpu.attention import kernel

    problem = Problem(shape, HEADS, 1210, Device("cpu"), layers=2)
    attend = kernel.prepare(problem, parts)
    (*_, found) = [attend(*layer) for layer in problem.each_layer()]
    assert error(found, problem.answer()) <= TOLERANCE[torch.float32]


def test_it_rounds_as_its_type_does() -> None:
    """In float16: of bfloat16 the interpreter of Triton 3.9 multiplies the bits as if they were whole numbers."""

    class Rounded(Device):
        @property
        def dtype(self) -> Any:
            return torch.float16

    problem = Problem(Shape(2, 3, 140), HEADS, 150, Rounded("cpu"))
    found = by_lengths(problem)(*next(problem.each_layer()))
    assert found.dtype == torch.float16
    assert error(found, problem.answer()) <= TOLERANCE[torch.bfloat16]


def test_what_lies_behind_a_row_is_not_read() -> None:
    problem = Problem(Shape(3, 2, 100), HEADS, 128, Device("cpu"))
    right = problem.answer()
    for row, length in enumerate(problem.lengths):
        problem.cache[:, row, :, length:] = torch.nan
    assert error(by_lengths(problem)(*next(problem.each_layer())), right) <= TOLERANCE[torch.float32]


def test_more_queries_than_a_tile_has_are_refused() -> None:
    problem = Problem(Shape(1, 65, 100), HEADS, 128, Device("cpu"))
    with pytest.raises(ValueError, match="tokens: expected at most 64 a row, got 65"):
        by_lengths(problem)


def test_a_row_is_split_until_the_gpu_is_busy_and_not_beyond() -> None:
    from trimode_perf.gpu.attention import kernel

    assert [kernel.splits(rows, 8, 132) for rows in (1, 8, 32, 128)] == [64, 16, 4, 1]
    assert kernel.splits(1, 2, 2) == 4


def test_no_split_is_so_short_that_partial_sums_outweigh_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from trimode_perf.gpu.attention import kernel

    assert kernel.LEAST_SHARE.value % kernel.BLOCK == 0
    problem, made, empty = Problem(Shape(1, 1, 600), HEADS, 610, Device("cpu")), [], torch.empty

    def noted(*dims: int, **kind: Any) -> Any:
        made.append(empty(*dims, **kind).fill_(torch.nan))
        return made[-1]

    monkeypatch.setattr(torch, "empty", noted)
    kernel.prepare(problem, 64)(*next(problem.each_layer()))
    _, tops, _ = made  # (rows, key heads, splits, queries)
    assert torch.equal(tops.isfinite().all(dim=3).sum(dim=2), torch.full((1, 2), 3)), "600 entries are 3 splits of 64"

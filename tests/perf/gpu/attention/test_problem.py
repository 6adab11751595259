"""What attention is asked, and that a token too many or too few is found in the answer."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="make test-train has PyTorch")

from trimode_perf.gpu.attention.problem import Heads, Problem, Shape, error  # noqa: E402
from trimode_perf.gpu.device import Device  # noqa: E402

CPU = Device("cpu")


def test_the_released_sizes_share_their_heads() -> None:
    assert (Heads(), Heads().group) == (Heads(32, 8, 128), 4)


def test_rows_are_of_unequal_lengths_the_first_of_the_one_asked_for() -> None:
    lengths = Shape(8, 32, 1024).lengths()
    assert lengths == [1024, 895, 766, 637, 508, 379, 250, 121]
    assert Shape(1, 1, 8192).lengths() == [8192]
    assert min(Shape(3, 9, 12).lengths()) == 9, "a row has its new tokens at least"


def test_even_rows_are_causal_and_odd_rows_are_blocks() -> None:
    problem = Problem(Shape(2, 3, 20), Heads(4, 2, 8), 32, CPU)
    assert problem.lengths == [20, 9]
    assert problem.seen.tolist() == [[18, 19, 20], [9, 9, 9]]


def test_the_answer_is_the_sum_over_what_each_token_sees() -> None:
    heads = Heads(4, 2, 8)
    problem = Problem(Shape(3, 2, 13), heads, 17, CPU, layers=2)
    right = problem.answer()
    assert right.shape == (3, 2, 4, 8)
    query, cached = problem.query[1], problem.cache[2:]  # the last layer's
    for row in range(3):
        for token in range(2):
            for head in range(4):
                keys, values = cached[:, row, head // heads.group, : int(problem.seen[row, token])]
                weights = [math.exp(float(query[row, token, head] @ key)) for key in keys]
                mixed = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
                torch.testing.assert_close(right[row, token, head], mixed)


def test_a_bias_hides_what_the_counts_do_not_have() -> None:
    problem = Problem(Shape(2, 3, 20), Heads(4, 2, 8), 32, CPU)
    bias = problem.bias(24)
    assert bias.shape == (2, 1, 2 * 3, 24)
    shown = (bias == 0).sum(dim=-1)[:, 0].view(2, 2, 3)  # (rows, group, tokens)
    assert torch.equal(shown, problem.seen[:, None].expand(2, 2, 3).long())
    assert bool(((bias == 0) | (bias == -torch.inf)).all())


@pytest.mark.parametrize("tokens", [1, 8])
@pytest.mark.parametrize("more", [-1, 1])
def test_one_entry_too_many_or_too_few_is_more_than_what_is_allowed(tokens: int, more: int) -> None:
    """At the longest shape, where one entry weighs least; too many by the last token's is behind the row."""
    problem = Problem(Shape(1, tokens, 32768), Heads(2, 1, 32), 32800, CPU)
    right, problem.lengths = problem.answer(), [32768 + 1]
    problem.seen += more
    assert error(problem.answer(), right) > 5e-2


def test_what_is_no_number_is_the_largest_error() -> None:
    right = torch.ones(2, 3, 4, 8)
    found = right.clone()
    assert error(found, right) == 0.0
    found[0, 0] = 1.5
    assert error(found, right) == 0.5
    found[1, 2, 3, 4] = math.nan
    assert error(found, right) == math.inf

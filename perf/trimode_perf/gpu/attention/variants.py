"""The ways to attend that are compared: torch's own over more or less of the cache, FlexAttention, a kernel of ours.

A way prepares what a pass makes once for all its layers, such as the mask, which is not timed; what it returns runs one
layer. Knows no times.
"""

from __future__ import annotations

import os
import subprocess
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..needs import Unavailable, imported
from .problem import Heads, Problem

NO_COMPILER = "C compiler"
"""What Triton's error says where the machine has none, which is no fault of the kernel."""
NO_COMPILING = (subprocess.CalledProcessError, FileNotFoundError)
"""What comes of a compiler that lacks Python's headers or CUDA's library, or is named and not there."""
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""query, keys and values of a layer, see `Problem`, to the mix of values  # (rows, tokens, query heads, size)."""


def over_capacity(problem: Problem) -> Attend:
    """Return SDPA over every entry that the cache has room for, under a mask: what a graph of one fixed size does."""
    return _masked(problem, problem.capacity)


def over_longest(problem: Problem) -> Attend:
    """Return SDPA over as many entries of each row as the longest has, under a mask.

    That is the torch engine's, whose bucket is the length itself where that is a power of two.
    """
    return _masked(problem, max(problem.lengths))


def by_rows(problem: Problem) -> Attend:
    """Return a call of SDPA for each row over its own entries; a mask only where a token does not see all of them."""
    whole = (problem.seen == torch.tensor(problem.lengths, device=problem.device)[:, None]).all(dim=1).tolist()
    bias = problem.bias(max(problem.lengths))

    def attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        folded, found = _folded(query, problem.heads), []
        for row, length in enumerate(problem.lengths):
            one, mask = slice(row, row + 1), None if whole[row] else bias[row : row + 1, ..., :length]
            found.append(_sdpa(folded[one], keys[one, :, :length], values[one, :, :length], mask))
        return _unfolded(torch.cat(found), problem.heads)

    return attend


def flex(problem: Problem) -> Attend:
    """Return FlexAttention, compiled on a GPU; on a CPU as torch computes it without compiling.

    Raises Unavailable where it cannot be compiled. Source of the interface: PyTorch 2.13's documentation of
    torch.nn.attention.flex_attention.
    """
    if problem.device == "cpu":
        return flex_by(problem, imported("torch.nn.attention.flex_attention").flex_attention)
    return first_call(flex_by(problem, _compiled()), problem)


def flex_by(problem: Problem, run: Callable[..., Any]) -> Attend:
    """Return `run`, of FlexAttention's interface, under a block mask: it reads no block that no token sees."""
    seen, heads = problem.seen, problem.heads

    def visible(row: Tensor, head: Tensor, token: Tensor, entry: Tensor) -> Tensor:
        return entry < seen[row, token]

    make = imported("torch.nn.attention.flex_attention").create_block_mask
    mask = make(visible, *(seen.shape[0], None, seen.shape[1]), problem.capacity, device=problem.device)

    def attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        asked = query.transpose(1, 2)  # (rows, query heads, tokens, size)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
            mixed: Tensor = run(asked, keys, values, block_mask=mask, scale=1.0, enable_gqa=heads.group > 1)
        return mixed.transpose(1, 2)

    return attend


def first_call(attend: Attend, problem: Problem, lacks: str = "") -> Attend:
    """Return `attend` once it was compiled; raises Unavailable from an error that has `lacks` in it, or a compiler's.

    Any error has nothing in it: dynamo, its backend, Triton and the system's compiler each have their own.
    """
    try:
        attend(*next(problem.each_layer()))
    except Exception as exc:
        excused = lacks in str(exc) or isinstance(exc, NO_COMPILING)
        if not excused or isinstance(exc, torch.cuda.OutOfMemoryError):
            raise
        first_line = str(exc).strip().partition("\n")[0]
        raise Unavailable(f"compiling is not possible here: {type(exc).__name__}: {first_line}") from exc
    return attend


def by_lengths(problem: Problem) -> Attend:
    """Return this project's kernel; raises Unavailable without the Triton language, whose interpreter runs on a CPU."""
    if problem.device == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"  # before triton is imported
    imported("triton")
    prepared: Attend = imported("trimode_perf.gpu.attention.kernel").prepare(problem)
    return prepared if problem.device == "cpu" else first_call(prepared, problem, NO_COMPILER)


VARIANTS: dict[str, Callable[[Problem], Attend]] = {
    "capacity": over_capacity,
    "longest": over_longest,
    "each row": by_rows,
    "lengths": by_lengths,
    "flex": flex,
}
"""What prepares each way; in the order of worth, as FlexAttention takes its time to compile."""


@cache
def _compiled() -> Callable[..., Any]:
    """Return FlexAttention that is compiled once for each number of rows and tokens; lengths are data."""
    plain = imported("torch.nn.attention.flex_attention").flex_attention
    made: Callable[..., Any] = torch.compile(plain, fullgraph=True, dynamic=False)
    return made


def _masked(problem: Problem, entries: int) -> Attend:
    bias = problem.bias(entries)

    def attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        mixed = _sdpa(_folded(query, problem.heads), keys[:, :, :entries], values[:, :, :entries], bias)
        return _unfolded(mixed, problem.heads)

    return attend


def _sdpa(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
    mixed: Tensor = F.scaled_dot_product_attention(query, keys, values, attn_mask=bias, scale=1.0)
    return mixed


def _folded(query: Tensor, heads: Heads) -> Tensor:
    """Put query heads that share keys below each other, as the torch engine does  # (rows, keys, group * T, size)."""
    rows, tokens = query.shape[:2]
    grouped = query.view(rows, tokens, heads.keys, heads.group, heads.size).permute(0, 2, 3, 1, 4)
    return grouped.reshape(rows, heads.keys, heads.group * tokens, heads.size)


def _unfolded(mixed: Tensor, heads: Heads) -> Tensor:
    grouped = mixed.view(len(mixed), heads.keys, heads.group, -1, heads.size).permute(0, 3, 1, 2, 4)
    return grouped.reshape(len(mixed), -1, heads.queries, heads.size)

"""A kernel in the Triton language that reads of each row's keys and values its own entries and no others.

Each row is split over its entries, so that one row fills a GPU; a second kernel adds up the parts. All query heads that
share keys, and all new tokens, are one tile. How much a token sees is data, so that one CUDA graph serves all lengths.
Flash decoding's arithmetic (Dao et al., "Flash-Decoding for long-context inference", 2023) over Triton's language as
its documentation has it. Importing it needs triton; on a CPU Triton's interpreter runs it.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .problem import Problem
from .variants import Attend

BLOCK = 64
"""Entries that a program reads at a time."""
LEAST_SHARE = tl.constexpr(256)
"""Entries of a split at least, whole blocks: of fewer, partial sums would outweigh keys and values."""
LEAST_TILE, MOST_TILE = 16, 128
"""Rows of a product: the fewest that tensor cores take, and the most that a program has registers for."""
PROGRAMS = 4
"""Programs for each multiprocessor: rows of unequal lengths end at different times, and others take their place."""
MOST_SPLITS = 64
WIDE_TILE = 64
"""Rows from which a product is shared by eight warps instead of four."""
LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def _share(length, SPLITS: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return how many entries each split takes, whole blocks; a short row leaves its last splits empty."""
    return tl.maximum(tl.cdiv(tl.cdiv(length, SPLITS), BLOCK) * BLOCK, LEAST_SHARE)


@triton.jit
def _attend(  # type: ignore[no-untyped-def]
    query, keys, values, seen, parts, tops, totals,
    query_row, query_token, query_head, cache_row, cache_head, cache_entry,
    TOKENS: tl.constexpr, GROUP: tl.constexpr, TILE: tl.constexpr, SIZE: tl.constexpr,
    SPLITS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Attend with one tile of queries over one split of one row: its part, unscaled, the top score, the sum."""
    split, head, row = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    line = tl.arange(0, TILE)  # query (token, head of the group), the group's heads side by side
    column = tl.arange(0, SIZE)
    real = line < TOKENS * GROUP
    token, member = line // GROUP, line % GROUP
    limit = tl.load(seen + row * TOKENS + token, mask=real, other=0)
    length = tl.max(limit, axis=0)
    share = _share(length, SPLITS, BLOCK)
    begin = split * share
    end = tl.minimum(begin + share, length)
    if begin < end:
        place = row.to(tl.int64) * query_row + token * query_token + (head * GROUP + member) * query_head
        asked = tl.load(query + place[:, None] + column[None, :], mask=real[:, None], other=0.0)  # (TILE, SIZE)
        lane = row.to(tl.int64) * cache_row + head * cache_head
        top = tl.full([TILE], float("-inf"), tl.float32)
        total = tl.zeros([TILE], tl.float32)
        mixed = tl.zeros([TILE, SIZE], tl.float32)
        for at in range(begin, end, BLOCK):
            entry = at + tl.arange(0, BLOCK)
            there = lane + entry * cache_entry
            inside = entry < length
            key = tl.load(keys + there[None, :] + column[:, None], mask=inside[None, :], other=0.0)  # (SIZE, BLOCK)
            scores = tl.dot(asked, key, input_precision="ieee") * LOG2_E
            scores = tl.where(entry[None, :] < limit[:, None], scores, float("-inf"))
            higher = tl.maximum(top, tl.max(scores, axis=1))
            base = tl.where(higher == float("-inf"), 0.0, higher)  # a token may see nothing of a split
            weight = tl.exp2(scores - base[:, None])
            kept = tl.exp2(top - base)
            value = tl.load(values + there[:, None] + column[None, :], mask=inside[:, None], other=0.0)  # (BLOCK, SIZE)
            added = tl.dot(weight.to(value.dtype), value, input_precision="ieee")
            mixed = mixed * kept[:, None] + added
            total = total * kept + tl.sum(weight, axis=1)
            top = higher
        heads = tl.num_programs(1)
        out = ((row * heads + head) * SPLITS + split) * (TOKENS * GROUP) + line
        tl.store(tops + out, top, mask=real)
        tl.store(totals + out, total, mask=real)
        tl.store(parts + out[:, None] * SIZE + column[None, :], mixed, mask=real[:, None])


@triton.jit
def _add(  # type: ignore[no-untyped-def]
    parts, tops, totals, seen, answer, answer_row, answer_token, answer_head,
    TOKENS: tl.constexpr, MOST_TOKENS: tl.constexpr, GROUP: tl.constexpr, SIZE: tl.constexpr,
    SPLITS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Add up the parts of one query, each by its share of the whole sum."""
    line, head, row = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    every = tl.arange(0, MOST_TOKENS)
    length = tl.max(tl.load(seen + row * TOKENS + every, mask=every < TOKENS, other=0), axis=0)
    split = tl.arange(0, SPLITS)
    there = split * _share(length, SPLITS, BLOCK) < length
    column = tl.arange(0, SIZE)
    place = ((row * tl.num_programs(1) + head) * SPLITS + split) * (TOKENS * GROUP) + line
    top = tl.load(tops + place, mask=there, other=float("-inf"))
    scale = tl.exp2(top - tl.max(top, axis=0))
    total = tl.sum(tl.load(totals + place, mask=there, other=0.0) * scale, axis=0)
    part = tl.load(parts + place[:, None] * SIZE + column[None, :], mask=there[:, None], other=0.0)
    mixed = tl.sum(part * scale[:, None], axis=0) / total
    out = row * answer_row + (line // GROUP) * answer_token + (head * GROUP + line % GROUP) * answer_head
    tl.store(answer + out + column, mixed.to(answer.dtype.element_ty))


def splits(rows: int, heads: int, multiprocessors: int) -> int:
    """Return into how many parts each row is split: a power of two, by which the GPU has its programs."""
    wanted = -(-PROGRAMS * multiprocessors // (rows * heads))
    return min(MOST_SPLITS, 1 << (wanted - 1).bit_length())


def prepare(problem: Problem, parts: int | None = None) -> Attend:
    """Return the kernel for a problem, in `parts` splits of each row or as many as suit the GPU.

    Raises:
        ValueError: more than 128 queries share a head of keys.
    """
    rows, tokens = problem.seen.shape
    heads, lines = problem.heads, tokens * problem.heads.group
    if lines > MOST_TILE:
        raise ValueError(f"tokens: expected at most {MOST_TILE // heads.group} a row, got {tokens}")
    count = parts or splits(rows, heads.keys, _multiprocessors())
    tile = max(LEAST_TILE, triton.next_power_of_2(lines))
    made = {"dtype": torch.float32, "device": problem.device}
    sums = torch.empty(rows, heads.keys, count, lines, heads.size, **made)
    tops, totals = (torch.empty(rows, heads.keys, count, lines, **made) for _ in range(2))
    fixed = {"TOKENS": tokens, "GROUP": heads.group, "SIZE": heads.size, "SPLITS": count, "BLOCK": BLOCK}
    warps = 8 if tile >= WIDE_TILE else 4

    def attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        assert keys.stride() == values.stride() and keys.stride(3) == query.stride(3) == 1
        answer = torch.empty_like(query)
        _attend[(count, heads.keys, rows)](
            *(query, keys, values, problem.seen, sums, tops, totals),
            *(*query.stride()[:3], *keys.stride()[:3]),
            **fixed, TILE=tile, num_warps=warps, num_stages=2,
        )  # fmt: skip
        _add[(lines, heads.keys, rows)](
            *(sums, tops, totals, problem.seen, answer, *answer.stride()[:3]),
            **fixed, MOST_TOKENS=triton.next_power_of_2(tokens), num_warps=4,
        )  # fmt: skip
        return answer

    return attend


def _multiprocessors() -> int:
    if not torch.cuda.is_available():
        return 1
    return int(torch.cuda.get_device_properties(0).multi_processor_count)

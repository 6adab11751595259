"""What attention is asked: queries over a cache of keys and values, how much of it each token sees, the right answer.

What a token must not see would spoil its answer visibly: values behind a row's length are large, those of its new
tokens are larger than the older ones. Knows no kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..device import Device

BEHIND = 1000.0
"""Values behind a row's length: one that is seen among 32,768 moves a sum more than all that may be seen."""
NEW = 30.0
"""By what the values of new tokens are larger: one too many or too few is a tenth of the sum at 32,768."""


@dataclass(frozen=True)
class Heads:
    """Heads as in all three released sizes: query heads, heads of keys and values, and the size of each."""

    queries: int = 32
    keys: int = 8
    size: int = 128

    @property
    def group(self) -> int:
        """Query heads that share a head of keys and values."""
        return self.queries // self.keys


@dataclass(frozen=True)
class Shape:
    """Rows, the new tokens of each, and the entries of the longest row, its new ones included."""

    rows: int
    tokens: int
    length: int

    def lengths(self) -> list[int]:
        """Return the entries of each row: all of `length`, then fewer by equal steps, at no multiples of a block."""
        steps = (self.length - number * (self.length // self.rows) - number for number in range(self.rows))
        return [max(self.tokens, entries) for entries in steps]


class Problem:
    """A shape's tensors on a device, for as many layers as are wanted.

    Attributes:
        seen: (rows, tokens) int32, how many entries of its row, from the first on, each token sees: in even rows those
            up to itself, in odd rows all, as in a block.
        lengths: entries of each row.
        query: (layers, rows, tokens, query heads, size), which carries attention's scale.
        cache: (2 layers, rows, key heads, capacity, size); plane 2l has the keys of layer l.
    """

    def __init__(self, shape: Shape, heads: Heads, capacity: int, device: Device, layers: int = 1) -> None:
        """Fill random tensors; all of the capacity is memory that is there."""
        self.shape, self.heads, self.capacity, self.layers = shape, heads, capacity, layers
        self.device, self.dtype, self.lengths = device.kind, device.dtype, shape.lengths()
        counts = [self._counts(number) for number in range(shape.rows)]
        self.seen = torch.tensor(counts, dtype=torch.int32, device=device.kind)
        torch.manual_seed(0)
        self.query = self._random(layers, shape.rows, shape.tokens, heads.queries, heads.size).mul_(heads.size**-0.5)
        self.cache = self._random(2 * layers, shape.rows, heads.keys, capacity, heads.size)
        for row, length in enumerate(self.lengths):
            values = self.cache[1::2, row]
            values[:, :, length - shape.tokens : length] *= NEW
            values[:, :, length:] = BEHIND

    def each_layer(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield query, keys and values of each layer; keys and values are (rows, key heads, capacity, size)."""
        for layer in range(self.layers):
            yield self.query[layer], self.cache[2 * layer], self.cache[2 * layer + 1]

    def bias(self, entries: int) -> Tensor:
        """Return 0 where a token sees an entry and -inf elsewhere  # (rows, 1, group * tokens, entries)."""
        rows, tokens = self.seen.shape
        hidden = torch.arange(entries, device=self.device) >= self.seen[..., None]  # (rows, tokens, entries)
        bias = torch.zeros(hidden.shape, dtype=self.dtype, device=self.device).masked_fill_(hidden, -torch.inf)
        group = self.heads.group
        return bias[:, None].expand(rows, group, tokens, entries).reshape(rows, 1, group * tokens, entries)

    def answer(self) -> Tensor:
        """Return the right answer of the last layer, in float32  # (rows, tokens, query heads, size)."""
        (*_, (query, keys, values)) = self.each_layer()
        return torch.stack([self._row(row, query, keys, values) for row in range(self.shape.rows)])

    def _row(self, row: int, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        length, heads = self.lengths[row], self.heads
        asked = query[row].float().view(-1, heads.keys, heads.group, heads.size).movedim(0, 2)  # (keys, group, T, size)
        scores = asked @ keys[row, :, None, :length].float().transpose(-1, -2)  # (keys, group, tokens, length)
        hidden = torch.arange(length, device=self.device) >= self.seen[row][:, None]
        shares = scores.masked_fill_(hidden, -torch.inf).softmax(dim=-1)
        return (shares @ values[row, :, None, :length].float()).movedim(2, 0).flatten(1, 2)

    def _counts(self, row: int) -> list[int]:
        length, tokens = self.lengths[row], self.shape.tokens
        return [length] * tokens if row % 2 else [length - tokens + 1 + token for token in range(tokens)]

    def _random(self, *dims: int) -> Tensor:
        return torch.empty(dims, dtype=self.dtype, device=self.device).normal_()


def error(found: Tensor, right: Tensor) -> float:
    """Return the largest relative RMS error of a token's answer, infinite where something is no number."""
    away = (found.float() - right).square().mean(dim=(2, 3)).sqrt()  # (rows, tokens)
    worst = float((away / right.square().mean(dim=(2, 3)).sqrt()).max())
    return worst if worst < float("inf") else float("inf")

"""The tower and the projector in torch: pictures as one sequence of patches, each picture seeing itself alone.

The arithmetic is the graph's: norms and rotation in float32, rounded once. It has a stream of its own, so that another
thread may run it beside the language model. Executed on the processor; on a GPU it was not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from ...bundle.manifest import Manifest
from ...bundle.tensor_index import TensorIndex, TowerSizes
from ...bundle.vision_facts import VisionFacts
from ...errors import BundleError, EngineError
from ..base import Floats
from ..patches import Patches, cut
from .device import Device
from .types import TYPES
from .weights import Layer, TowerWeights


class TorchTower:
    """Implements `tower.Tower`."""

    def __init__(
        self, device: Device, weights: TowerWeights, facts: VisionFacts, sizes: TowerSizes, epsilon: float
    ) -> None:
        """Take the weights; `epsilon` is that of the projector's norm."""
        self._device, self._weights, self._facts, self._sizes = device, weights, facts, sizes
        self._epsilon = epsilon
        self._dtype = weights.patches.dtype

    @classmethod
    def open(cls, bundle: Path, *, threads: int, device: int = 0, on_gpu: bool = False) -> Self:
        """Load the tower of a bundle that has one; see `Tower.open`. `threads` are the engine's.

        Raises:
            BundleError: the bundle is broken, has no tower, or a GPU is not what it takes.
        """
        del threads
        manifest, index = Manifest.load(bundle), TensorIndex.load(bundle)
        if manifest.vision is None or index.vision is None:
            raise BundleError(f"{bundle} holds no tower: its checkpoint reads text alone")
        try:
            opened, layers = Device.open(device, on_gpu=on_gpu), index.vision.num_layers
            with opened.active():
                weights = TowerWeights.load(bundle, index, layers, opened.device, TYPES[manifest.precision])
            return cls(opened, weights, manifest.vision, index.vision, index.norm_epsilon)
        except (EngineError, RuntimeError) as exc:  # torch's own errors, out of memory among them, are RuntimeErrors
            raise BundleError(f"{bundle} cannot be opened by PyTorch {torch.__version__}: {exc}") from exc

    def encode(self, pictures: Sequence[Floats]) -> list[Floats]:
        """Return the rows that stand for each picture; see `tower.Tower`."""
        patches = cut(pictures, self._facts)
        try:
            with self._device.active():
                rows: Floats = self._device.fetch(self._rows(patches).float())
        except RuntimeError as exc:
            raise EngineError(f"PyTorch failed on {len(patches.values)} patches: {exc}") from exc
        return patches.split(rows, self._facts.merge)

    def close(self) -> None:
        """Do nothing: memory goes with the object."""

    def _rows(self, patches: Patches) -> Tensor:
        """Return the rows of all cells  # (cells, hidden of the language model)."""
        weights, tower = self._weights, self._sizes.norm_epsilon
        turns = self._turns(self._device.send(patches.positions))
        pieces = [int(end - start) for start, end in zip(patches.starts, patches.starts[1:], strict=False)]
        x = F.linear(self._device.send(patches.values).to(self._dtype), weights.patches)  # (n, hidden)
        x = _norm(x, weights.first_norm, tower)
        for layer in weights.layers:
            x = x + F.linear(self._attend(layer, _norm(x, layer.norm, tower), turns, pieces), layer.o)
            gate, up = F.linear(_norm(x, layer.mlp_norm, tower), layer.gate_up).chunk(2, dim=-1)
            x = x + F.linear(F.silu(gate) * up, layer.down)
        x = _norm(x, weights.projector_norm, self._epsilon)
        cells = x.view(-1, self._facts.merge**2, x.shape[-1]).transpose(1, 2).flatten(1)  # channel by channel
        inner = F.linear(F.linear(cells, weights.merging), weights.widening)
        return F.linear(F.gelu(inner), weights.last)

    def _turns(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine of each pair of a head's channels at each patch  # (n, 1, D / 2) each.

        The first half of the pairs turns by the row, with every other frequency from the first on, the second half by
        the column, with the others.
        """
        size = self._sizes.hidden_size // self._sizes.num_heads
        pairs = torch.arange(size // 2, dtype=torch.float64, device=self._device.device)
        frequencies = self._sizes.theta ** (-2.0 * pairs / size)
        row, column = positions // self._facts.side, positions % self._facts.side
        angles = torch.cat([row[:, None] * frequencies[::2], column[:, None] * frequencies[1::2]], dim=1)
        return angles.cos().float()[:, None], angles.sin().float()[:, None]

    def _attend(self, layer: Layer, x: Tensor, turns: tuple[Tensor, Tensor], pieces: list[int]) -> Tensor:
        """Return the mix of values, one attention for each picture  # (n, hidden) -> the same."""
        heads = F.linear(x, layer.qkv).view(len(x), 3, self._sizes.num_heads, -1)
        query, key = (self._turn(heads[:, which], turns) for which in (0, 1))
        mixed = []
        for parts in zip(*(one.split(pieces) for one in (query, key, heads[:, 2])), strict=True):
            own = (part.transpose(0, 1)[None] for part in parts)  # (1, heads, m, D)
            mixed.append(F.scaled_dot_product_attention(*own)[0].transpose(0, 1).flatten(1))
        return torch.cat(mixed)

    def _turn(self, heads: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        """Rotate the pairs (i, i + D / 2) of each head  # (n, heads, D)."""
        cos, sin = turns
        first, second = heads.float().chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(self._dtype)


def _norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], None, epsilon) * weight

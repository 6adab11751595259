"""The joint loss: next token on the clean copies, masked tokens on the noisy blocks, one forward for both.

Knows which token sees which, and the loss. Knows nothing about how rows are made or weights are updated.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from ..data.packing import Batch
from ..data.patches import PictureRows
from ..model.config import MASK_ID
from ..model.model import Attend, Model, bias_from, grouped_attention


@dataclass(frozen=True)
class Pictures:
    """The pictures of a batch on its device, as in `PictureRows`."""

    patches: Tensor
    places: Tensor
    picture: Tensor
    pads: Tensor


@dataclass(frozen=True)
class Tensors:
    """A batch on its device; all (rows, length), and its pictures."""

    ids: Tensor
    positions: Tensor
    document: Tensor
    block: Tensor
    limit: Tensor
    targets: Tensor
    weights: Tensor
    pictures: Pictures | None = None

    @classmethod
    def of(cls, batch: Batch, device: torch.device | str = "cpu", pinned: bool = False) -> Tensors:
        """Copy a packed batch to a device; with `pinned` a GPU fetches it while it works."""

        def copied(array: npt.NDArray[Any]) -> Tensor:
            tensor = torch.from_numpy(array)
            return tensor.pin_memory().to(device, non_blocking=True) if pinned else tensor.to(device)

        values = {name: copied(getattr(batch, name)) for name in TEXT_FIELDS}
        return cls(**values, pictures=pictures_of(batch.pictures, copied) if batch.pictures else None)

    @property
    def text(self) -> list[Tensor]:
        """The tensors, without those of the pictures, as `Tensors` takes them."""
        return [getattr(self, name) for name in TEXT_FIELDS]


TEXT_FIELDS = tuple(name for name in Tensors.__dataclass_fields__ if name != "pictures")


def pictures_of(rows: PictureRows, copied: Callable[[npt.NDArray[Any]], Tensor] = torch.from_numpy) -> Pictures:
    """Return rows of pictures as tensors."""
    return Pictures(*(copied(getattr(rows, name)) for name in Pictures.__dataclass_fields__))


def visibility(t: Tensors) -> Tensor:
    """Return which token sees which, (rows, 1, length, length): True where the query (axis 2) sees the key (axis 3).

    Inside one document: a clean token sees the clean tokens up to itself; a noisy token sees its own block and the
    clean tokens before the block's start; nothing clean sees anything noisy.
    """
    same = t.document[:, :, None] == t.document[:, None, :]
    before = (t.block == 0)[:, None, :] & (t.positions[:, None, :] < t.limit[:, :, None])
    own_block = (t.block > 0)[:, :, None] & (t.block[:, :, None] == t.block[:, None, :])
    return (same & (before | own_block))[:, None]


def mask_rule(t: Tensors) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Return `visibility` as a rule on indices (row, head, query, key), the form that FlexAttention compiles."""

    def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = t.document[row, query] == t.document[row, key]
        before = (t.block[row, key] == 0) & (t.positions[row, key] < t.limit[row, query])
        own_block = (t.block[row, query] > 0) & (t.block[row, query] == t.block[row, key])
        return same & (before | own_block)

    return sees


def training_mask(t: Tensors, dtype: torch.dtype) -> Tensor | BlockMask:
    """Return a block-sparse mask on a GPU, where FlexAttention trains, and a dense additive bias elsewhere."""
    if t.ids.is_cuda:
        rows, length = t.ids.shape
        return create_block_mask(mask_rule(t), rows, None, length, length, device=t.ids.device)
    return bias_from(visibility(t), dtype)


def encode(
    model: Model, ids: Tensor, positions: Tensor, mask: Tensor | BlockMask, pictures: Pictures | None = None
) -> Tensor:
    """Return hidden states (rows, length, hidden) under a mask. Worth compiling, because shapes never change."""
    if isinstance(mask, BlockMask):
        attend: Attend = functools.partial(flex_attention, block_mask=mask, enable_gqa=True)
    else:
        attend = grouped_attention(mask)
    seen = None
    if pictures is not None:
        seen = model.encoder.features(pictures.patches, pictures.places, pictures.picture), pictures.pads
    return model.encoder(ids, positions, attend, seen=seen)[0]


@dataclass(frozen=True)
class Losses:
    """The loss to minimise, the mean cross-entropies of its two parts in nats, and how sure the model was."""

    total: Tensor
    next_token: Tensor
    masked: Tensor
    sure: Tensor  # (rows, length), the largest probability where a loss was taken, 0 elsewhere


def losses(model: Model, hidden: Tensor, t: Tensors, wrong_weight: float = 0.0) -> Losses:
    """Return the weighted sum of both losses, divided by the number of tokens they are taken on.

    A masked token whose most probable value is wrong counts `1 + wrong_weight` times. Diffusion reveals what is sure
    and never takes it back, so the probability that the loss asks for falls from p to p / (p + (1 - p)(1 + w)), where w
    is `wrong_weight`: at w = 3 a token that reports 0.9 is right in 97 of 100 cases.
    """
    chosen = t.weights.flatten().nonzero()[:, 0]  # (n,)
    logits = model.diffusion_head(hidden.flatten(0, 1)[chosen]).float()  # (n, vocab)
    weights, noisy = t.weights.flatten()[chosen], t.block.flatten()[chosen] > 0
    targets = t.targets.flatten()[chosen]
    each = F.cross_entropy(logits, targets, reduction="none")  # (n,)
    with torch.no_grad():
        highest, best = logits.max(-1)  # (n,) each
        costly = 1 + wrong_weight * (noisy & (best != targets))
        reply = ~noisy & (weights == 1.0)
        sure = torch.zeros_like(t.weights).flatten()
        sure[chosen] = (highest - logits.logsumexp(-1)).exp()
    total = (each * weights * costly).sum() / chosen.numel()
    detached = each.detach()
    return Losses(total, detached[reply].mean(), detached[noisy].mean(), sure.view_as(t.weights))


LEAST_HIDDEN = 0.15
"""A second look's loss is divided by the share of the block that is still hidden, but never by less than this."""


def second_look(t: Tensors, sure: Tensor, diffusion_weight: float, random: torch.Generator) -> Tensors:
    """Return the same rows one denoising pass later: in every block the surest masked tokens now show the truth.

    Each block draws a bar from 0.5 to 1. The surest token, and all tokens whose `sure` (rows, length) reaches the bar,
    are revealed, as the denoising loop reveals them if they are right. So the model trains on the states that it meets
    at inference, which independent masking does not give. Complete blocks teach nothing more.
    """
    rows = t.ids.shape[0]
    hidden = (t.ids == MASK_ID) & (t.block > 0) & (t.weights > 0)
    blocks = int(t.block.max()) + 1
    key = torch.arange(rows, device=t.ids.device)[:, None] * blocks + t.block  # (rows, length), one number a block
    flat, zeros = key.flatten(), torch.zeros(rows * blocks, device=t.ids.device)
    bar = (0.5 + 0.5 * torch.rand(rows * blocks, generator=random)).to(t.ids.device)
    best = zeros.scatter_reduce(0, flat, torch.where(hidden, sure, 0.0).flatten(), "amax")
    reveal = hidden & ((sure >= bar[key]) | (sure >= best[key]))
    still = hidden & ~reveal
    size = zeros.scatter_add(0, flat, torch.ones_like(sure).flatten())
    left = zeros.scatter_add(0, flat, still.flatten().float()) / size
    weights = torch.where(still, diffusion_weight / left[key].clamp(min=LEAST_HIDDEN), t.weights)
    weights = torch.where((t.block > 0) & ~still, 0.0, weights)
    return dataclasses.replace(t, ids=torch.where(reveal, t.targets, t.ids), weights=weights)

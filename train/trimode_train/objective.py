"""The joint loss: next token on the clean copies, masked tokens on the noisy blocks, one forward for both.

Knows visibility and loss; knows nothing about how rows are made or weights are updated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from trimode_train.model import Attend, Model, bias_from, grouped_attention
from trimode_train.packing import Batch


@dataclass(frozen=True)
class Tensors:
    """A batch on its device; all (rows, length)."""

    ids: Tensor
    positions: Tensor
    document: Tensor
    block: Tensor
    limit: Tensor
    targets: Tensor
    weights: Tensor

    @classmethod
    def of(cls, batch: Batch, device: torch.device | str = "cpu") -> Tensors:
        """Copy a packed batch to a device."""
        return cls(*(torch.from_numpy(getattr(batch, name)).to(device) for name in cls.__dataclass_fields__))


def visibility(t: Tensors) -> Tensor:
    """Who sees whom, (rows, 1, length, length), True where the query (third axis) sees the key (fourth).

    Inside one document: a clean token sees the clean tokens up to itself; a noisy token sees its own block and the
    clean tokens before the block's start; nothing clean sees anything noisy.
    """
    same = t.document[:, :, None] == t.document[:, None, :]
    before = (t.block == 0)[:, None, :] & (t.positions[:, None, :] < t.limit[:, :, None])
    own_block = (t.block > 0)[:, :, None] & (t.block[:, :, None] == t.block[:, None, :])
    return (same & (before | own_block))[:, None]


def mask_rule(t: Tensors) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """`visibility` as a rule on (row, head, query, key) indices, the form FlexAttention compiles."""

    def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        same = t.document[row, query] == t.document[row, key]
        before = (t.block[row, key] == 0) & (t.positions[row, key] < t.limit[row, query])
        own_block = (t.block[row, query] > 0) & (t.block[row, query] == t.block[row, key])
        return same & (before | own_block)

    return sees


def training_mask(t: Tensors, dtype: torch.dtype) -> Tensor | BlockMask:
    """Block-sparse on a GPU, where FlexAttention trains; a dense additive bias elsewhere."""
    if t.ids.is_cuda:
        rows, length = t.ids.shape
        return create_block_mask(mask_rule(t), rows, None, length, length, device=t.ids.device)
    return bias_from(visibility(t), dtype)


def encode(model: Model, ids: Tensor, positions: Tensor, mask: Tensor | BlockMask) -> Tensor:
    """Hidden states (rows, length, hidden) under a mask. The part worth compiling: shapes never change."""
    if isinstance(mask, BlockMask):
        attend: Attend = functools.partial(flex_attention, block_mask=mask, enable_gqa=True)
    else:
        attend = grouped_attention(mask)
    return model.encoder(ids, positions, attend)[0]


@dataclass(frozen=True)
class Losses:
    """The loss to minimise, and plain mean cross-entropies of its two parts in nats."""

    total: Tensor
    next_token: Tensor
    masked: Tensor


def losses(model: Model, hidden: Tensor, t: Tensors) -> Losses:
    """Weighted sum of both losses over the number of tokens they are taken on."""
    chosen = t.weights.flatten().nonzero()[:, 0]  # (n,)
    logits = model.diffusion_head(hidden.flatten(0, 1)[chosen])  # (n, vocab)
    weights, noisy = t.weights.flatten()[chosen], t.block.flatten()[chosen] > 0
    each = F.cross_entropy(logits.float(), t.targets.flatten()[chosen], reduction="none")  # (n,)
    total = (each * weights).sum() / chosen.numel()
    with torch.no_grad():
        reply = ~noisy & (weights == 1.0)
        return Losses(total, each[reply].mean(), each[noisy].mean())


def joint_loss(model: Model, t: Tensors) -> Losses:
    """Mask, forward and loss of one batch, uncompiled."""
    return losses(model, encode(model, t.ids, t.positions, training_mask(t, torch.float32)), t)

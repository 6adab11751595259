"""The draft adapter's loss: a block drafted in one pass should be what the frozen model itself would write.

Knows where a batch's drafts are and when a token is accepted. Knows nothing about how the adapter is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..model.model import Model, grouped_attention
from ..training.objective import Tensors

Head = Callable[[Tensor], Tensor]
"""Hidden states (n, hidden) to logits (n, vocab)."""


@dataclass(frozen=True)
class Drafts:
    """Where a batch's drafts are: indices into its flattened tokens, (drafts, longest - 1), in the order of the text.

    A draft is what follows a block's seed. The causal row of the token before it verifies a drafted token.
    """

    noisy: Tensor  # the masked token
    teacher: Tensor  # the clean token before it, whose causal row predicts it
    real: Tensor  # False where the block or its document has ended

    @classmethod
    def of(cls, t: Tensors, longest: int) -> Drafts:
        """Find the drafts in blocks of at most `longest` tokens."""
        rows, length = t.ids.shape
        row, column = ((t.block > 0) & (t.positions == t.limit)).nonzero(as_tuple=True)  # the seeds, (drafts,) each
        offset = torch.arange(1, longest, device=t.ids.device)  # (longest - 1,)
        there = (column[:, None] + offset).clamp(max=length - 1)  # (drafts, longest - 1), as what follows
        inside = (column[:, None] + offset < length) & (t.block[row[:, None], there] == t.block[row, column][:, None])

        documents, positions = int(t.document.max()) + 1, int(t.positions.max()) + longest + 1
        place = torch.full((rows, documents, positions), -1, device=t.ids.device)  # of each clean token, -1: none
        r, c = ((t.block == 0) & (t.document >= 0)).nonzero(as_tuple=True)
        place[r, t.document[r, c], t.positions[r, c]] = r * length + c
        document, position = t.document[row, column][:, None], t.limit[row, column][:, None] + offset
        return cls(
            noisy=row[:, None] * length + there,
            teacher=place[row[:, None], document, position - 1],
            real=inside & (place[row[:, None], document, position] >= 0),
        )


def encode_drafts(model: Model, ids: Tensor, positions: Tensor, bias: Tensor, draft: Tensor) -> Tensor:
    """Return hidden states (rows, length, hidden) under an additive bias; `draft` (rows, length, 1) is 1 on drafts."""
    return model.encoder(ids, positions, grouped_attention(bias), draft=draft)[0]


@dataclass(frozen=True)
class DraftLosses:
    """The loss to minimise, and how good the batch's drafts are."""

    total: Tensor
    distance: Tensor  # the hybrid's mean over weighted positions
    accepted: Tensor  # share of the drafted tokens that greedy verification accepts


def hybrid(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Mix KL and total variation of (n, vocab) logits at a temperature: lambda * KL + (1 - lambda) * TV, (n,).

    lambda is exp(-0.5 * acceptance). Acceptance is the share of the two distributions that overlaps, which is 1 - TV.
    The further apart they are, the more KL counts, whose gradient does not vanish there.
    """
    q, p = (student / temperature).log_softmax(-1), (teacher / temperature).log_softmax(-1)
    kl = F.kl_div(q, p, reduction="none", log_target=True).sum(-1)
    tv = 0.5 * (q.exp() - p.exp()).abs().sum(-1)
    share = torch.exp(-0.5 * (1 - tv.detach()))
    return share * kl + (1 - share) * tv


@dataclass(frozen=True)
class Weighing:
    """How the loss weighs: the temperature of both distributions, `behind` ** k for places behind a rejected one."""

    temperature: float = 1.0
    behind: float = 0.5


def draft_losses(head: Head, student: Tensor, teacher: Tensor, real: Tensor, weighing: Weighing) -> DraftLosses:
    """Return the distance to the frozen model's own causal prediction, plus cross-entropy to its most likely token.

    Follows the draft LoRA of the Nemotron-Labs-Diffusion paper (arXiv:2607.05722): frozen verifier, hybrid of KL and
    TV, cross-entropy on the accepted positions and the first rejected one. A position k after the first rejected one
    cannot be accepted yet, so its hybrid weighs `behind` ** k. The clean copies should be the model's own text
    (`own_text`, `answers`): there the teacher sees exactly what verification will see.

    Args:
        head: hidden states to logits.
        student, teacher: (n, hidden), final hidden states of drafted tokens and of the causal rows that predict them.
        real: (drafts, places), n of them True: where they are, in the order of the text.
    """
    drafted = head(student).float()  # (n, vocab)
    with torch.no_grad():
        predicted = head(teacher).float()  # (n, vocab)
        greedy = predicted.argmax(-1)  # (n,)
        match = torch.zeros_like(real)
        match[real] = drafted.argmax(-1) == greedy
        accepted = match.int().cumprod(1).sum(1, keepdim=True)  # (drafts, 1)
        depth = (torch.arange(real.shape[1], device=real.device) - accepted)[real]  # (n,), 0 at the first rejected
        weight, reached = weighing.behind ** depth.clamp(min=0), depth <= 0
    distance = (hybrid(drafted, predicted, weighing.temperature) * weight).sum() / weight.sum()
    cross_entropy = F.cross_entropy(drafted[reached], greedy[reached])
    return DraftLosses(distance + cross_entropy, distance.detach(), accepted.sum() / real.sum())

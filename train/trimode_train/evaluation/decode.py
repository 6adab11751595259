"""The three greedy decoding loops in torch, batch 1, as the family's reference runs them; and train's sessions.

Sources: `ar_generate`, `generate` and `linear_spec_generate` of the released models, with their defaults and forward
counts; as they do, a block is committed even when it ends the answer. A session decides how a pass is run, so training,
perf's peers and gpu-check share the loops. Needs torch alone; knows nothing about the server, which has its own loops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..model.config import EOS_ID, IMAGE_PAD_ID, MASK_ID
from ..model.model import Attend, Model, Past, causal_bias, grouped_attention


@dataclass(frozen=True)
class Decoded:
    """A reply (with its end token, if it has one), the forwards after the prefill, and the blocks or cycles.

    Block modes overshoot: a reply that does not end may have up to a block more tokens than were asked for.
    """

    ids: list[int]
    forwards: int
    blocks: int


class Passes(Protocol):
    """The passes over one text; `length` tokens of it are kept. Logits come back on the CPU."""

    length: int

    def causal(self, ids: Tensor, *, last: bool = False) -> Tensor:
        """Append a chunk; row i of the logits predicts the token after token i  # (length or 1, vocab)."""
        ...

    def block(self, ids: Tensor, *, draft: bool = False) -> Tensor:
        """See a block in both directions without keeping it; row i predicts token i  # (length, vocab)."""
        ...

    def crop(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        ...


class Decodes(Protocol):
    """A model with a way of its own to run passes."""

    def session(self, room: int) -> Passes:
        """Return an empty text that may grow to `room` tokens."""
        ...


class Session:
    """Implements `Passes` on a model of train, its keys and values kept. Only causal chunks are kept in them."""

    def __init__(self, model: Model, features: Tensor | None = None) -> None:
        self.model = model
        self.features = features  # (cells, hidden), of those places of pictures that are still to come
        self.past: Past | None = None
        self.length = 0

    def causal(self, ids: Sequence[int] | Tensor, *, last: bool = False) -> Tensor:
        """Append a chunk; returns logits (length or 1, vocab), whose row i predicts the token after token i."""
        attend = grouped_attention(causal_bias(len(ids), self.length + len(ids), self.model.device))
        logits, new = self._forward(ids, attend, seen=self._seen(torch.as_tensor(ids)))
        if self.past is None:
            self.past = new
        else:
            self.past = [
                (torch.cat([k, nk], dim=2), torch.cat([v, nv], dim=2))
                for (k, v), (nk, nv) in zip(self.past, new, strict=True)
            ]
        self.length += len(ids)
        return (logits[-1:] if last else logits).cpu()

    def block(self, ids: Sequence[int] | Tensor, *, draft: bool = False) -> Tensor:
        """See a block in both directions, without keeping it; returns logits (length, vocab), row i for token i.

        `draft` turns on the model's draft adapter for this pass, if it has one.
        """
        return self._forward(ids, grouped_attention(None), draft)[0].cpu()

    def crop(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        assert self.past is not None
        self.past = [(k[:, :, :length], v[:, :, :length]) for k, v in self.past]
        self.length = length

    def _seen(self, ids: Tensor) -> tuple[Tensor, Tensor] | None:
        """Take the features of the places of pictures among `ids`, in order."""
        if self.features is None or not (taken := int((ids == IMAGE_PAD_ID).sum())):
            return None
        if taken > len(self.features):
            raise ValueError(f"the prompt has {taken} places of pictures, and {len(self.features)} features are left")
        features, self.features = self.features[:taken], self.features[taken:]
        cell = torch.full((1, len(ids)), -1)
        cell[0, ids == IMAGE_PAD_ID] = torch.arange(taken)
        return features, cell.to(self.model.device)

    def _forward(
        self,
        ids: Sequence[int] | Tensor,
        attend: Attend,
        draft: bool = False,
        seen: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Past]:
        device = self.model.device
        tokens = torch.as_tensor(ids, device=device)[None]  # (1, length)
        positions = torch.arange(self.length, self.length + len(ids), device=device)[None]
        marked = torch.ones(1, len(ids), 1, device=device) if draft else None
        logits, new = self.model(tokens, positions, attend, self.past, marked, seen)
        return logits[0], new


@dataclass(frozen=True)
class Seeing:
    """Implements `Decodes`: a model with what its tower made of a prompt's pictures, (cells, hidden) in their order."""

    model: Model
    features: Tensor

    def session(self, room: int) -> Session:
        """Return an empty text."""
        return Session(self.model, self.features)


def _open(model: Model | Decodes, room: int) -> Passes:
    return Session(model) if isinstance(model, Model) else model.session(room)


def _cut(ids: list[int], eos: int) -> list[int]:
    return ids[: ids.index(eos) + 1] if eos in ids else ids


@torch.inference_mode()
def autoregressive(model: Model | Decodes, prompt: list[int], max_new: int, *, eos: int = EOS_ID) -> Decoded:
    """Decode one token per forward; the last one is not fed."""
    session, ids = _open(model, len(prompt) + max_new), list[int]()
    logits = session.causal(torch.tensor(prompt), last=True)
    while True:
        token = logits[-1].argmax()
        ids.append(int(token))
        if ids[-1] == eos or len(ids) == max_new:
            return Decoded(ids, len(ids) - 1, len(ids))
        logits = session.causal(token[None])


@torch.inference_mode()
def diffusion(
    model: Model | Decodes,
    prompt: list[int],
    max_new: int,
    length: int = 32,
    threshold: float = 0.9,
    *,
    eos: int = EOS_ID,
    mask: int = MASK_ID,
) -> Decoded:
    """Decode blocks of `length`; each pass reveals the surest token and all others that are `threshold` sure."""
    session, ids, forwards, blocks = _open(model, len(prompt) + max_new + length), list[int](), 0, 0
    seed = session.causal(torch.tensor(prompt), last=True)[-1].argmax()
    while len(ids) < max_new and eos not in ids:
        block = torch.full((length,), mask)
        block[0] = seed
        for _ in range(length):
            hidden = (block == mask).nonzero()[:, 0]
            if not len(hidden):
                break
            forwards += 1
            sure, tokens = session.block(block)[hidden].softmax(-1).max(-1)  # (hidden,) each
            kept = sure >= threshold
            kept[sure.argmax()] = True
            block[hidden[kept]] = tokens[kept]
            if _ended(block.tolist(), eos, mask):
                break
        seed = session.causal(block, last=True)[-1].argmax()
        forwards, blocks = forwards + 1, blocks + 1
        ids += block.tolist()
    return Decoded(_cut(ids, eos), forwards, blocks)


@torch.inference_mode()
def self_speculation(
    model: Model | Decodes,
    prompt: list[int],
    max_new: int,
    length: int = 32,
    adapter: bool = True,
    *,
    eos: int = EOS_ID,
    mask: int = MASK_ID,
) -> Decoded:
    """Draft a block in one pass, verify it causally, keep the tokens that match and one more.

    With `adapter`, drafts use the model's draft adapter, if it has one; verification never does.
    """
    session, cycles = _open(model, len(prompt) + max_new + length), 0
    seed = session.causal(torch.tensor(prompt), last=True)[-1].argmax()
    ids = [int(seed)]
    while len(ids) < max_new and eos not in ids:
        start, cycles = session.length, cycles + 1
        block = torch.full((length,), mask)
        block[0] = seed
        block[1:] = session.block(block, draft=adapter)[1:].argmax(-1)
        verified = session.causal(block).argmax(-1)
        accepted = 1 + int((verified[:-1] == block[1:]).long().cumprod(0).sum())
        ids += verified[:accepted].tolist()
        session.crop(start + accepted)
        seed = verified[accepted - 1]
    return Decoded(_cut(ids, eos), 2 * cycles, cycles)


def _ended(block: list[int], eos: int, mask: int) -> bool:
    """Whether an end token stands with no mask before it."""
    return eos in block and mask not in block[: block.index(eos)]

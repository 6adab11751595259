"""The three greedy decoding loops in plain torch, batch 1, as the family's reference runs them.

They measure a checkpoint while it is trained. Knows nothing about the server, which has its own loops.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.config import EOS_ID, MASK_ID
from ..model.model import Attend, Model, Past, causal_bias, grouped_attention


@dataclass(frozen=True)
class Decoded:
    """A reply (with its end token, if it has one), the forwards after the prefill, and the blocks or cycles."""

    ids: list[int]
    forwards: int
    blocks: int


class Session:
    """A model and the keys and values of the text so far. Only causal chunks are kept in them."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.past: Past | None = None
        self.length = 0

    def causal(self, ids: list[int]) -> Tensor:
        """Append a chunk; returns logits (length, vocab), whose row i predicts the token after token i."""
        attend = grouped_attention(causal_bias(len(ids), self.length + len(ids), self.model.device))
        logits, new = self._forward(ids, attend)
        if self.past is None:
            self.past = new
        else:
            self.past = [
                (torch.cat([k, nk], dim=2), torch.cat([v, nv], dim=2))
                for (k, v), (nk, nv) in zip(self.past, new, strict=True)
            ]
        self.length += len(ids)
        return logits

    def block(self, ids: list[int], draft: bool = False) -> Tensor:
        """See a block in both directions, without keeping it; returns logits (length, vocab), row i for token i.

        `draft` turns on the model's draft adapter for this pass, if it has one.
        """
        return self._forward(ids, grouped_attention(None), draft)[0]

    def crop(self, length: int) -> None:
        """Forget everything after the first `length` tokens."""
        assert self.past is not None
        self.past = [(k[:, :, :length], v[:, :, :length]) for k, v in self.past]
        self.length = length

    def _forward(self, ids: list[int], attend: Attend, draft: bool = False) -> tuple[Tensor, Past]:
        tokens = torch.tensor([ids], device=self.model.device)  # (1, length)
        positions = torch.arange(self.length, self.length + len(ids), device=self.model.device)[None]
        marked = torch.ones(1, len(ids), 1, device=self.model.device) if draft else None
        logits, new = self.model(tokens, positions, attend, self.past, marked)
        return logits[0], new


def _cut(ids: list[int]) -> list[int]:
    return ids[: ids.index(EOS_ID) + 1] if EOS_ID in ids else ids


@torch.no_grad()
def autoregressive(model: Model, prompt: list[int], max_new: int) -> Decoded:
    """Decode one token per forward."""
    session, reply = Session(model), []
    logits = session.causal(prompt)
    while len(reply) < max_new:
        reply.append(int(logits[-1].argmax()))
        if reply[-1] == EOS_ID or len(reply) == max_new:
            break
        logits = session.causal(reply[-1:])
    return Decoded(reply, len(reply), len(reply))


@torch.no_grad()
def diffusion(model: Model, prompt: list[int], max_new: int, length: int = 32, threshold: float = 0.9) -> Decoded:
    """Decode blocks of `length`; each pass reveals the surest token and all others that are `threshold` sure."""
    session, reply, forwards, blocks = Session(model), [], 0, 0
    seed = int(session.causal(prompt)[-1].argmax())
    while len(reply) < max_new:
        block = [seed] + [MASK_ID] * (length - 1)
        for _ in range(length):
            hidden = [i for i, token in enumerate(block) if token == MASK_ID]
            if not hidden:
                break
            forwards += 1
            sure, token = session.block(block)[hidden].softmax(-1).max(-1)  # (hidden,) each
            reveal = sure >= threshold
            reveal[int(sure.argmax())] = True
            for i, t, show in zip(hidden, token.tolist(), reveal.tolist(), strict=True):
                if show:
                    block[i] = t
            if EOS_ID in block and MASK_ID not in block[: block.index(EOS_ID)]:
                break
        seed = int(session.causal(block)[-1].argmax())
        forwards, blocks = forwards + 1, blocks + 1
        reply += block
        if EOS_ID in block:
            break
    return Decoded(_cut(reply), forwards, blocks)


@torch.no_grad()
def self_speculation(model: Model, prompt: list[int], max_new: int, length: int = 32, adapter: bool = True) -> Decoded:
    """Draft a block in one pass, verify it causally, keep the tokens that match and one more.

    With `adapter`, drafts use the model's draft adapter, if it has one; verification never does.
    """
    session = Session(model)
    token = int(session.causal(prompt)[-1].argmax())
    reply, cycles = [token], 0
    while len(reply) < max_new and EOS_ID not in reply:
        start = session.length
        draft = session.block([token] + [MASK_ID] * (length - 1), draft=adapter).argmax(-1).tolist()
        block = [token, *draft[1:]]
        verified = session.causal(block).argmax(-1).tolist()
        accepted = 1
        while accepted < length and verified[accepted - 1] == block[accepted]:
            accepted += 1
        reply += verified[:accepted]
        session.crop(start + accepted)
        token, cycles = reply[-1], cycles + 1
    return Decoded(_cut(reply), 2 * cycles, cycles)

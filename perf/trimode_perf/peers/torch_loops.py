"""The model family's three decoding loops in torch eager, batch 1, greedy, as the released code runs them.

Sources: `ar_generate`, `generate` and `linear_spec_generate` of the released models, with their defaults (block 32,
threshold 0.9, one draft pass) and their forward counts; as they do, a block is committed even when it ends the answer.
Left out: sampling, thinking budgets, batches. An answer is cut at `max_tokens`, the released self-speculation is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from .peer import Answer, Peer
from .torch_model import TorchModel


@torch.inference_mode()
def autoregressive(model: TorchModel, prompt: list[int], max_tokens: int, eos: int) -> Answer:
    """`ar_generate`: one token a forward; the last one is not fed."""
    session, ids = model.session(len(prompt) + max_tokens), []
    logits = session.causal(torch.tensor(prompt), last=True)
    while True:
        token = logits[-1].argmax()
        ids.append(int(token))
        if ids[-1] == eos or len(ids) == max_tokens:
            return Answer(ids, len(ids) - 1)
        logits = session.causal(token[None])


@torch.inference_mode()
def diffusion(
    model: TorchModel, prompt: list[int], max_tokens: int, eos: int, *, length: int = 32, threshold: float = 0.9
) -> Answer:
    """`generate`: behind a causal seed, a pass writes the surest masked token and all that reach the threshold."""
    mask = model.config["mask_token_id"]
    session, ids, forwards = model.session(len(prompt) + max_tokens + length), list[int](), 0
    seed = session.causal(torch.tensor(prompt), last=True)[-1].argmax()
    while len(ids) < max_tokens and eos not in ids:
        block = torch.full((length,), mask)
        block[0] = seed
        for _ in range(length):
            hidden = (block == mask).nonzero()[:, 0]
            if not len(hidden):
                break
            forwards += 1
            sure, tokens = session.block(block)[hidden].softmax(-1).max(-1)
            kept = sure >= threshold
            kept[sure.argmax()] = True
            block[hidden[kept]] = tokens[kept]
            if _ended(block.tolist(), eos, mask):
                break
        seed = session.causal(block, last=True)[-1].argmax()
        forwards += 1
        ids += block.tolist()
    return Answer(_cut(ids, max_tokens, eos), forwards)


@torch.inference_mode()
def self_speculation(model: TorchModel, prompt: list[int], max_tokens: int, eos: int, *, length: int = 32) -> Answer:
    """`linear_spec_generate`: one pass with the adapter drafts a block, a causal one without it verifies the block."""
    mask = model.config["mask_token_id"]
    session, forwards = model.session(len(prompt) + max_tokens + length), 0
    seed = session.causal(torch.tensor(prompt), last=True)[-1].argmax()
    ids = [int(seed)]
    while len(ids) < max_tokens and eos not in ids:
        start = session.length
        block = torch.full((length,), mask)
        block[0] = seed
        block[1:] = session.block(block, draft=True)[1:].argmax(-1)
        verified = session.causal(block).argmax(-1)
        accepted = 1 + int((verified[:-1] == block[1:]).long().cumprod(0).sum())
        ids += verified[:accepted].tolist()
        session.crop(start + accepted)
        seed = verified[accepted - 1]
        forwards += 2
    return Answer(_cut(ids, max_tokens, eos), forwards)


def _ended(block: list[int], eos: int, mask: int) -> bool:
    """Whether an end token stands with no mask before it."""
    return eos in block and mask not in block[: block.index(eos)]


def _cut(ids: list[int], max_tokens: int, eos: int) -> list[int]:
    ids = ids[:max_tokens]
    return ids[: ids.index(eos) + 1] if eos in ids else ids


def _told(model: TorchModel, loop: Callable[..., Answer], prompt: list[int], max_tokens: int, eos: int) -> Answer:
    """Return a loop's answer, and how to do its products again."""
    model.passes.clear()
    given = loop(model, prompt, max_tokens, eos)
    return replace(given, products=torch.inference_mode()(partial(model.products, list(model.passes))))


def load(checkpoint: Path, threads: int) -> Peer:
    """Load the checkpoint in float32."""
    torch.set_num_threads(threads)
    model = TorchModel(checkpoint)
    length = model.config["block_size"]
    modes = {
        "autoregressive": partial(_told, model, autoregressive),
        "diffusion": partial(_told, model, partial(diffusion, length=length)),
        "self_speculation": partial(_told, model, partial(self_speculation, length=length)),
    }
    return Peer(f"torch {torch.__version__}, eager, the reference's loops", modes)

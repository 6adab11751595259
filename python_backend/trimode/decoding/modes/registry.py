"""The three ways to generate, each two pure functions of a sequence: `plan` the next pass, `apply` its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...api.fields import Mode
from ...engines.base import Row, RowResult
from .. import prefill
from ..sequence import Phase, Sequence
from . import autoregressive, diffusion, infill, revise, self_speculation


@dataclass(frozen=True)
class Decoder:
    """A mode: `start` takes the prompt's last logits, `plan` and `apply` alternate until the sequence is done."""

    start: Callable[[Sequence, RowResult], list[int]]
    plan: Callable[[Sequence, int], Row]
    apply: Callable[[Sequence, Row, RowResult], list[int]]


def _one_pass(plan: Callable[[Sequence], Row]) -> Callable[[Sequence, int], Row]:
    """A mode whose passes are never longer than a block need not cut them into chunks."""
    return lambda seq, chunk: plan(seq)


DECODERS: dict[Mode, Decoder] = {
    Mode.AUTOREGRESSIVE: Decoder(autoregressive.start, _one_pass(autoregressive.plan), autoregressive.apply),
    Mode.DIFFUSION: Decoder(diffusion.start, _one_pass(diffusion.plan), diffusion.apply),
    Mode.SELF_SPECULATION: Decoder(self_speculation.start, _one_pass(self_speculation.plan), self_speculation.apply),
}

INFILL = Decoder(infill.start, infill.plan, infill.apply)
REVISE = Decoder(revise.start, revise.plan, revise.apply)


def decoder_of(seq: Sequence) -> Decoder:
    """Return what decodes `seq`."""
    if seq.hole is not None:
        return INFILL
    return DECODERS[seq.mode] if seq.revision is None else REVISE


def steer(seq: Sequence, mode: Mode, block_length: int) -> None:
    """Decode the next cycle of a sequence that stands between two token by token, or by drafts of `block_length`."""
    seq.turn(mode, block_length)
    if mode is Mode.AUTOREGRESSIVE:
        autoregressive.resume(seq)
    else:
        self_speculation.resume(seq)


def plan(seq: Sequence, prefill_chunk: int) -> Row:
    """Return the sequence's next pass."""
    if seq.phase is Phase.PREFILL:
        return prefill.plan(seq, prefill_chunk)
    return decoder_of(seq).plan(seq, prefill_chunk)


def apply(seq: Sequence, row: Row, result: RowResult) -> list[int]:
    """Take in a pass's result; return the tokens that became final with it."""
    decoder = decoder_of(seq)
    if seq.phase is not Phase.PREFILL:
        return decoder.apply(seq, row, result)
    return decoder.start(seq, result) if prefill.apply(seq, row) else []

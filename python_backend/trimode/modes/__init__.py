"""The three ways to generate, each two pure functions of a sequence: `plan` the next pass, `apply` its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..engines.base import Row, RowResult
from ..fields import Mode
from ..sequence import Phase, Sequence
from . import autoregressive, diffusion, infill, prefill, self_speculation


@dataclass(frozen=True)
class Decoder:
    """A mode: `start` takes the prompt's last logits, `plan` and `apply` alternate until the sequence is done."""

    start: Callable[[Sequence, RowResult], list[int]]
    plan: Callable[[Sequence], Row]
    apply: Callable[[Sequence, Row, RowResult], list[int]]


DECODERS: dict[Mode, Decoder] = {
    Mode.AUTOREGRESSIVE: Decoder(autoregressive.start, autoregressive.plan, autoregressive.apply),
    Mode.DIFFUSION: Decoder(diffusion.start, diffusion.plan, diffusion.apply),
    Mode.SELF_SPECULATION: Decoder(self_speculation.start, self_speculation.plan, self_speculation.apply),
}


INFILL = Decoder(infill.start, infill.plan, infill.apply)


def decoder_of(seq: Sequence) -> Decoder:
    """Return what decodes `seq`."""
    return DECODERS[seq.params.mode] if seq.hole is None else INFILL


def plan(seq: Sequence, prefill_chunk: int) -> Row:
    """Return the sequence's next pass."""
    if seq.phase is Phase.PREFILL:
        return prefill.plan(seq, prefill_chunk)
    return decoder_of(seq).plan(seq)


def apply(seq: Sequence, row: Row, result: RowResult) -> list[int]:
    """Take in a pass's result; return the tokens that became final with it."""
    decoder = decoder_of(seq)
    if seq.phase is not Phase.PREFILL:
        return decoder.apply(seq, row, result)
    return decoder.start(seq, result) if prefill.apply(seq, row) else []

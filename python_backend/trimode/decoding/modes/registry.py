"""The modes by name, each pure functions of a sequence: `start`, then `plan` the next pass and `apply` its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...api.fields import Mode
from ...engines.base import Row, RowResult
from .. import prefill
from ..committed import NOTHING, Committed
from ..quadratic_shape import QuadraticShape
from ..sequence import Phase, SequenceState
from ..shaping import shaped
from . import autoregressive, diffusion, free_drafts, infill, quadratic, revise, self_speculation


@dataclass(frozen=True)
class Decoder:
    """A mode: `start` takes the prompt's last logits, `plan` and `apply` alternate until the sequence is done.

    `plan_prompt` returns the prompt's next pass. A mode that `shapes` applies the request's rules itself, since which
    tokens are decided before a row depends on what is accepted.
    """

    start: Callable[[SequenceState, RowResult], list[int]]
    plan: Callable[[SequenceState, int], Row]
    apply: Callable[[SequenceState, Row, RowResult], Committed]
    plan_prompt: Callable[[SequenceState, int], Row] = prefill.plan
    shapes: bool = False


def _one_pass(plan: Callable[[SequenceState], Row]) -> Callable[[SequenceState, int], Row]:
    """A mode whose passes are never longer than a block does not need to cut them into chunks."""
    return lambda seq, chunk: plan(seq)


DECODERS: dict[Mode, Decoder] = {
    Mode.AUTOREGRESSIVE: Decoder(autoregressive.start, _one_pass(autoregressive.plan), autoregressive.apply),
    Mode.DIFFUSION: Decoder(diffusion.start, _one_pass(diffusion.plan), diffusion.apply),
    Mode.SELF_SPECULATION: Decoder(self_speculation.start, _one_pass(self_speculation.plan), self_speculation.apply),
}

QUADRATIC = Decoder(quadratic.start, _one_pass(quadratic.plan), quadratic.apply, quadratic.plan_prompt, shapes=True)
INFILL = Decoder(infill.start, infill.plan, infill.apply)
REVISE = Decoder(revise.start, revise.plan, revise.apply)


def decoder_of(seq: SequenceState) -> Decoder:
    """Return what decodes `seq`."""
    if seq.infill is not None:
        return INFILL
    if seq.revise is not None:
        return REVISE
    return DECODERS[seq.mode] if seq.shape is None else QUADRATIC


def switch(seq: SequenceState, mode: Mode, block_length: int, shape: QuadraticShape | None = None) -> None:
    """Decode the next cycle of a sequence between two cycles by single tokens, or by drafts of `block_length`.

    Args:
        shape: verify a draft and make the next one in passes of this shape; a draft that is there already is kept.
    """
    drafted = shape is not None and seq.shape is not None
    seq.switch(mode, block_length, shape)
    if not drafted:
        _resume(seq)


def _resume(seq: SequenceState) -> None:
    """Go on in a sequence's mode after the last committed token, which is not in the cache."""
    if seq.mode is Mode.AUTOREGRESSIVE:
        autoregressive.resume(seq)
    elif seq.shape is not None:
        quadratic.resume(seq)
    else:
        self_speculation.resume(seq)


def plan(seq: SequenceState, prefill_chunk: int) -> Row:
    """Return the sequence's next pass; one that reads text has at most `prefill_chunk` tokens."""
    row = _plan(seq, prefill_chunk)
    if seq.pictures is None or row.start >= len(seq.prompt):
        return row
    return row._replace(features=seq.pictures.within(row.start, len(row.tokens)))


def _plan(seq: SequenceState, prefill_chunk: int) -> Row:
    if seq.phase is Phase.PREFILL:
        return decoder_of(seq).plan_prompt(seq, prefill_chunk)
    return free_drafts.plan(seq) or decoder_of(seq).plan(seq, prefill_chunk)


def apply(seq: SequenceState, row: Row, result: RowResult) -> Committed:
    """Take in a pass's result; return what it did.

    Raises:
        RequestError: the request's rules leave no token to choose.
    """
    begins, decoder = seq.phase is Phase.PREFILL, decoder_of(seq)
    if begins:
        if not prefill.apply(seq, row, result):
            return NOTHING
        row, result = prefill.last_of(row, result)
    free = free_drafts.planned(seq)
    if seq.rules and (free or not decoder.shapes):
        result = shaped(seq, row, result)
    if free:
        outcome = free_drafts.apply(seq, row, result)
        if not seq.done:
            _resume(seq)
        return outcome
    if not begins:
        return decoder.apply(seq, row, result)
    return Committed(decoder.start(seq, result), prompt_read=True)

"""Which texts are read next and which passes share a call. Knows nothing of clocks or results."""

from __future__ import annotations

from collections.abc import Sequence

from ..api.fields import MAX_BLOCK_LENGTH
from ..decoding.sequence import Phase, SequenceState
from ..engines.base import Row
from .job import Job

MAX_CALL_TOKENS = 512
"""Most tokens of one call over blocks, so that it does not keep the others waiting long."""


def reads_text(seq: SequenceState) -> bool:
    """Whether its next pass is a chunk of text that may be long; a text to score that fits a block goes with blocks."""
    return seq.phase is Phase.PREFILL or (seq.phase is Phase.SCORE and seq.unread > MAX_BLOCK_LENGTH)


def reading_order(running: Sequence[Job], *, oldest_next: bool) -> list[Job]:
    """Return the jobs that read a prompt or a long text: the shortest first, or the oldest before these.

    Alternated, a short prompt does not wait for a long one, and a stream of short ones cannot keep a long one out.
    """
    oldest_first = [job for job in running if reads_text(job.sequence)]
    if len(oldest_first) < 2:
        return oldest_first
    order = sorted(oldest_first, key=lambda job: job.sequence.unread)
    if oldest_next:
        order.remove(oldest_first[0])
        order.insert(0, oldest_first[0])
    return order


def pack(planned: list[tuple[Job, Row]]) -> list[list[tuple[Job, Row]]]:
    """Group passes into engine calls: single tokens together, blocks together, prompt chunks by themselves.

    Padding a single token to a block, or a block to a prompt chunk, costs more than a second call; two blocks of
    different length in one call cost less. So the single tokens of a sequence that has longer passes now and then go
    with blocks: its slot would have to move for each change. Passes with a mask of their own, which are longer than
    blocks, go together. The groups are those of `Engine.place`, whose slots are neighbours.
    """
    if len(planned) == 1:
        return [planned]
    singles: list[tuple[Job, Row]] = []
    blocks: list[tuple[Job, Row]] = []
    masked: list[tuple[Job, Row]] = []
    groups: list[list[tuple[Job, Row]]] = []
    for job, row in planned:
        own_mask = has_own_mask(row)
        if job.sequence.phase is Phase.PREFILL or (len(row.tokens) > MAX_BLOCK_LENGTH and not own_mask):
            groups.append([(job, row)])
        elif own_mask:
            masked.append((job, row))
        elif job.sequence.single:
            singles.append((job, row))
        else:
            blocks.append((job, row))
    if singles:
        groups.append(singles)
    return [*groups, *_calls(blocks), *_calls(masked)]


def _calls(passes: list[tuple[Job, Row]]) -> list[list[tuple[Job, Row]]]:
    """Cut passes that go together into calls of at most MAX_CALL_TOKENS, padding included."""
    width = max((len(row.tokens) for _, row in passes), default=1)
    per_call = max(1, MAX_CALL_TOKENS // width)
    return [passes[at : at + per_call] for at in range(0, len(passes), per_call)]


def has_own_mask(row: Row) -> bool:
    """Whether a row says for each of its tokens what it sees: it is a quadratic pass."""
    return not isinstance(row.sees, str)

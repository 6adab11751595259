"""Who is admitted next, which texts are read next, which passes share a call. Knows nothing of clocks or results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..api.fields import MAX_BLOCK_LENGTH, Mode
from ..decoding.sequence import Phase
from ..decoding.sequence import Sequence as Decoding
from ..engines.base import Row
from .job import Task

MAX_CALL_TOKENS = 512
"""Most tokens of one call over blocks, so that it does not keep the others waiting long."""


def next_in_line(waiting: Iterable[Task], running: Iterable[Task]) -> Task | None:
    """Return the first of those waiting whose request has the fewest tasks running.

    So a request of many sequences, such as a gap tried in many sizes, does not keep the others out.
    """
    shares = Counter(id(task.owner or task) for task in running)
    return min(waiting, key=lambda task: shares[id(task.owner or task)], default=None)


def owners(tasks: Iterable[Task]) -> set[int]:
    """Return a number for each request that `tasks` belong to."""
    return {id(task.owner or task) for task in list(tasks)}


def reads(seq: Decoding) -> bool:
    """Whether its next pass is a chunk of text that may be long; a text to score that fits a block goes with blocks."""
    return seq.phase is Phase.PREFILL or (seq.phase is Phase.SCORE and seq.unread > MAX_BLOCK_LENGTH)


def reading_order(running: Sequence[Task], *, oldest_next: bool) -> list[Task]:
    """Return the tasks that read a prompt or a long text: the shortest first, or the oldest before these.

    Alternated, a short prompt does not wait for a long one, and a stream of short ones cannot keep a long one out.
    """
    oldest_first = [task for task in running if reads(task.sequence)]
    if len(oldest_first) < 2:
        return oldest_first
    order = sorted(oldest_first, key=lambda task: task.sequence.unread)
    if oldest_next:
        order.remove(oldest_first[0])
        order.insert(0, oldest_first[0])
    return order


def pack(planned: list[tuple[Task, Row]]) -> list[list[tuple[Task, Row]]]:
    """Group passes into engine calls: single tokens together, blocks together, prompt chunks by themselves.

    Padding a single token to a block, or a block to a prompt chunk, costs more than a second call; two blocks of
    different length in one call cost less. The groups are those of `Engine.place`, whose slots are neighbours.
    """
    if len(planned) == 1:
        return [planned]
    singles: list[tuple[Task, Row]] = []
    blocks: list[tuple[Task, Row]] = []
    groups: list[list[tuple[Task, Row]]] = []
    for task, row in planned:
        if task.sequence.phase is Phase.PREFILL or len(row.tokens) > MAX_BLOCK_LENGTH:
            groups.append([(task, row)])
        elif task.sequence.mode is Mode.AUTOREGRESSIVE:
            singles.append((task, row))
        else:
            blocks.append((task, row))
    if singles:
        groups.append(singles)
    width = max((len(row.tokens) for _, row in blocks), default=1)
    per_call = max(1, MAX_CALL_TOKENS // width)
    groups += [blocks[at : at + per_call] for at in range(0, len(blocks), per_call)]
    return groups

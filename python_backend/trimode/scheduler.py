"""The loop: admit requests, ask every live sequence for its next pass, pack passes into engine calls, apply results.

One thread runs it and is the only one to touch the engine and the sequences; requests come in through an inbox and
chunks leave through `deliver`, which must not block. Knows nothing of Triton or of how a mode decodes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from . import modes
from .engines.base import Engine, Row
from .errors import CancelledError, DeadlineError, EngineError, OverloadedError, TrimodeError
from .fields import MAX_BLOCK_LENGTH, Mode
from .output import Chunk
from .sequence import Phase, Sequence
from .stop import AnswerText

logger = logging.getLogger(__name__)

MAX_CALL_TOKENS = 512
"""Most tokens of one call over blocks, so that it does not keep the others waiting long."""


@dataclass(eq=False)
class Task:
    """One request in the scheduler: its sequence, its text so far, and how it may end early."""

    sequence: Sequence
    text: AnswerText
    deliver: Callable[[Chunk], None]
    prefix: str = ""
    deadline: float | None = None
    submitted: float = field(default_factory=time.monotonic)
    cancelled: bool = False
    pending: str = ""
    sent: int = 0


class Scheduler:
    """Continuous batching: a request joins and leaves between passes, whatever its mode and length."""

    def __init__(self, engine: Engine, *, max_slots: int, max_queue: int, prefill_chunk: int) -> None:
        self._engine = engine
        self._max_slots = max_slots
        self._max_queue = max_queue
        self._prefill_chunk = prefill_chunk
        self._waiting: deque[Task] = deque()
        self._running: list[Task] = []
        self._wake = threading.Condition()
        self._closing: float | None = None
        self._oldest_next = False
        self._thread = threading.Thread(target=self._loop, name="trimode-scheduler", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        """Sequences being decoded."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return len(self._waiting)

    def submit(self, *tasks: Task, begun: bool = False) -> None:
        """Queue `tasks`, all or none: together they are one request, and the queue must have room for one.

        Args:
            begun: they go on with a request that was taken in before; it is not turned away halfway for want of room.

        Raises:
            OverloadedError: the queue is full, or the server is shutting down.
            CancelledError: the server is shutting down, for a request that had begun.
        """
        with self._wake:
            if self._closing is not None:
                raise (CancelledError if begun else OverloadedError)("the server is shutting down")
            if not begun and len(self._waiting) >= self._max_queue + self._max_slots - len(self._running):
                raise OverloadedError(f"{len(self._running)} requests run and {len(self._waiting)} wait; try again")
            self._waiting += tasks
            self._wake.notify()

    def cancel(self, task: Task) -> None:
        """End `task` before its next pass."""
        with self._wake:
            task.cancelled = True
            self._wake.notify()

    def close(self, grace_seconds: float) -> None:
        """Take nothing new, finish what there is within the grace period, end the rest as cancelled, stop."""
        with self._wake:
            self._closing = time.monotonic() + grace_seconds
            self._wake.notify()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._wake:
                while not (self._running or self._waiting or self._closing is not None):
                    self._wake.wait()
                self._end_early()
                self._admit()
                if self._closing is not None and not (self._running or self._waiting):
                    return
            self._step()

    def _end_early(self) -> None:
        """End what was cancelled, is out of time, or outlives the shutdown's grace period."""
        now = time.monotonic()
        shutdown = self._closing is not None and now >= self._closing
        for task in [*self._running, *self._waiting]:
            if task.cancelled:
                self._fail(task, CancelledError("the request was cancelled"))
            elif shutdown:
                self._fail(task, CancelledError("the server is shutting down"))
            elif task.deadline is not None and now >= task.deadline:
                allowed = task.deadline - task.submitted
                self._fail(task, DeadlineError(f"the request was not done within its timeout of {allowed:.3f} s"))

    def _admit(self) -> None:
        while self._waiting and len(self._running) < self._max_slots:
            task = self._waiting[0]
            seq = task.sequence
            try:
                seq.slot = self._engine.allocate(block=seq.params.mode is not Mode.AUTOREGRESSIVE)
            except Exception as exc:
                self._blame([task], exc)
                continue
            self._running.append(self._waiting.popleft())

    def _step(self) -> None:
        """Run one pass of every live sequence; of those that read a text, about one chunk's worth in all."""
        for group in pack(self._plan()):
            try:
                results = self._engine.run([row for _, row in group])
            except Exception as exc:
                self._blame([task for task, _ in group], exc)
                continue
            for (task, row), result in zip(group, results, strict=True):
                try:
                    committed = modes.apply(task.sequence, row, result)
                    if committed or task.sequence.done:
                        self._emit(task, committed)
                except Exception as exc:
                    self._blame([task], exc)

    def _plan(self) -> list[tuple[Task, Row]]:
        planned: list[tuple[Task, Row]] = []
        read = 0  # tokens of texts
        for task in [*self._reading(), *(task for task in self._running if not _reads(task.sequence))]:
            reads = _reads(task.sequence)
            if reads and read >= self._prefill_chunk:
                continue
            try:
                row = modes.plan(task.sequence, self._prefill_chunk)
            except Exception as exc:
                self._blame([task], exc)
                continue
            planned.append((task, row))
            read += len(row.tokens) if reads else 0
        return planned

    def _reading(self) -> list[Task]:
        """Return the tasks that read a prompt or a long text: the shortest first, every other step the oldest before.

        So a short prompt does not wait for a long one, and a stream of short ones cannot keep a long one out.
        """
        oldest_first = [task for task in self._running if _reads(task.sequence)]
        order = sorted(oldest_first, key=lambda task: task.sequence.unread)
        self._oldest_next = not self._oldest_next
        if order and self._oldest_next:
            order.remove(oldest_first[0])
            order.insert(0, oldest_first[0])
        return order

    def _blame(self, tasks: list[Task], cause: Exception) -> None:
        """End `tasks` with `cause`; the loop goes on. A defect of ours is logged in full."""
        if isinstance(cause, TrimodeError):
            error = cause
        else:
            logger.error("a decoding step failed", exc_info=cause)
            error = EngineError(f"a decoding step failed: {cause!r}")
        for task in tasks:
            self._fail(task, error)

    def _emit(self, task: Task, committed: list[int]) -> None:
        """Turn newly committed tokens into text, end at a stop word, and send a chunk when there is one to send."""
        seq = task.sequence
        text, used, stopped = task.text.push(committed)
        if not stopped and seq.done:
            rest, stopped = task.text.finish()
            text += rest
        if stopped:
            seq.cut(len(seq.tokens) - len(committed) + used)
            seq.finish("stop")
        task.pending += text
        if seq.done:
            self._release(task)
            self._send(task, Chunk(finish_reason=seq.finish_reason))
        elif seq.params.stream and (task.pending or seq.params.return_token_ids):
            self._send(task, Chunk())

    def _send(self, task: Task, chunk: Chunk) -> None:
        seq = task.sequence
        chunk.text = (task.prefix if task.sent == 0 else "") + task.pending
        chunk.token_ids = seq.tokens[task.sent :]
        chunk.log_probs = seq.log_probs[task.sent :]
        task.pending, task.sent = "", len(seq.tokens)
        self._deliver(task, chunk)

    def _fail(self, task: Task, error: TrimodeError) -> None:
        if task in self._running or task in self._waiting:
            self._release(task)
            self._deliver(task, Chunk(error=error))

    def _deliver(self, task: Task, chunk: Chunk) -> None:
        if chunk.last:
            chunk.counters = task.sequence.counters
            chunk.num_input_tokens = len(task.sequence.prompt)
            chunk.seconds = time.monotonic() - task.submitted
        task.deliver(chunk)

    def _release(self, task: Task) -> None:
        """Take `task` out, running or waiting."""
        if task in self._waiting:
            self._waiting.remove(task)
            return
        self._running.remove(task)
        try:
            self._engine.free(task.sequence.slot)
        except Exception:  # the answer must go out all the same
            logger.exception("slot %d could not be given back", task.sequence.slot)


def _reads(seq: Sequence) -> bool:
    """Whether its next pass is a chunk of text that may be long; a text to score that fits a block goes with blocks."""
    return seq.phase is Phase.PREFILL or seq.unread > MAX_BLOCK_LENGTH


def pack(planned: list[tuple[Task, Row]]) -> list[list[tuple[Task, Row]]]:
    """Group passes into engine calls: autoregressive steps together, blocks together, prompt chunks by themselves.

    Padding a single token to a block, or a block to a prompt chunk, costs more than a second call; two blocks of
    different length in one call cost less. The groups are those of `Engine.allocate`, whose slots are neighbours.
    """
    singles: list[tuple[Task, Row]] = []
    blocks: list[tuple[Task, Row]] = []
    groups: list[list[tuple[Task, Row]]] = []
    for task, row in planned:
        if task.sequence.phase is Phase.PREFILL or len(row.tokens) > MAX_BLOCK_LENGTH:
            groups.append([(task, row)])
        elif task.sequence.params.mode is Mode.AUTOREGRESSIVE:
            singles.append((task, row))
        else:
            blocks.append((task, row))
    if singles:
        groups.append(singles)
    width = max((len(row.tokens) for _, row in blocks), default=1)
    per_call = max(1, MAX_CALL_TOKENS // width)
    groups += [blocks[at : at + per_call] for at in range(0, len(blocks), per_call)]
    return groups

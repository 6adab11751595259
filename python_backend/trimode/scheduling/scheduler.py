"""The loop: admit requests, ask every live sequence for its next pass, pack passes into engine calls, apply results.

One thread runs it and is the only one to touch the engine and the sequences; requests come in through an inbox and
chunks leave through `deliver`, which must not block. Knows nothing of Triton or of how a mode decodes.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque

from ..api.answer import Chunk
from ..api.fields import Mode
from ..auto.chooser import Auto, Call
from ..decoding.modes import registry as modes
from ..decoding.sequence import Phase, Sequence
from ..engines.base import Engine, Row, RowResult
from ..errors import CancelledError, DeadlineError, EngineError, OverloadedError, TrimodeError
from .batching import next_in_line, owners, pack, reading_order, reads
from .job import Task
from .prefix_cache import PAGE, PrefixCache
from .snapshot import Snapshot

logger = logging.getLogger(__name__)


class Scheduler:
    """Continuous batching: a request joins and leaves between passes, whatever its mode and length."""

    def __init__(
        self,
        engine: Engine,
        auto: Auto,
        prefixes: PrefixCache,
        *,
        max_slots: int,
        max_queue: int,
        prefill_chunk: int,
    ) -> None:
        """Start the thread; `auto` and `prefixes` are its own from now on."""
        self._engine = engine
        self._auto = auto
        self._prefixes = prefixes
        self._max_slots = max_slots
        self._max_queue = max_queue
        self._prefill_chunk = prefill_chunk
        self._waiting: deque[Task] = deque()
        self._running: list[Task] = []
        self._wake = threading.Condition()
        self._closing: float | None = None
        self._stirred = True  # whether something came, ended or was cancelled since the loop last looked
        self._next_deadline = math.inf
        self._oldest_next = False
        self._thread = threading.Thread(target=self._loop, name="trimode-scheduler", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        """Requests being decoded."""
        return len(owners(self._running))

    @property
    def waiting(self) -> int:
        """Requests that wait for their first slot."""
        return len(owners(self._waiting) - owners(self._running))

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
            free = max(0, self._max_slots - len(self._running))
            if not begun and self.waiting >= self._max_queue + free:
                raise OverloadedError(f"{self.running} requests run and {self.waiting} wait; try again")
            self._waiting += tasks
            self._stir()

    def cancel(self, task: Task) -> None:
        """End `task` before its next pass."""
        with self._wake:
            task.cancelled = True
            self._stir()

    def close(self, grace_seconds: float) -> None:
        """Take nothing new, finish what there is within the grace period, end the rest as cancelled, stop."""
        with self._wake:
            self._closing = time.monotonic() + grace_seconds
            self._stir()
        self._thread.join()

    def _stir(self) -> None:
        """Have the loop look at what came; with the lock held."""
        self._stirred = True
        self._wake.notify()

    def _loop(self) -> None:
        while True:
            if self._stirred or time.monotonic() >= self._next_deadline:
                with self._wake:
                    self._stirred = False
                    self._end_early()
                    self._admit()
                    while not (self._running or self._stirred):
                        if self._closing is not None:
                            return
                        self._wake.wait()
            else:
                try:
                    self._step()
                except Exception as exc:  # whatever it was, nobody must wait for ever
                    self._blame([*self._running], exc)

    def _end_early(self) -> None:
        """End what was cancelled, is out of time, or outlives the shutdown's grace period; note when to look again."""
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
        limits = [task.deadline for task in (*self._running, *self._waiting)]
        self._next_deadline = min((at for at in (*limits, self._closing) if at is not None), default=math.inf)

    def _admit(self) -> None:
        while len(self._running) < self._max_slots and (task := next_in_line(self._waiting, self._running)):
            seq = task.sequence
            try:
                self._auto.admit(seq, [other.sequence for other in self._running], self._engine.capacity)
                seq.slot = self._engine.allocate(block=seq.mode is not Mode.AUTOREGRESSIVE)
            except Exception as exc:
                self._blame([task], exc)
                continue
            self._waiting.remove(task)
            self._running.append(task)

    def _step(self) -> None:
        """Run one pass of every live sequence; of those that read a text, about one chunk's worth in all."""
        began, running, timed = time.perf_counter(), len(self._running), self._auto.curve.due()
        self._auto.steer([task.sequence for task in self._running], self._engine.capacity)
        calls, spent, groups = list[Call](), 0.0, pack(self._plan())
        for group in groups:
            try:
                self._line_up(group)
                called = time.perf_counter()
                results = self._engine.run([row for _, row in group])
                seconds = time.perf_counter() - called
            except Exception as exc:
                self._blame([task for task, _ in group], exc)
                continue
            spent += seconds
            if timed and not any(reads(task.sequence) for task, _ in group):
                calls.append(Call(len(group), max(len(row.tokens) for _, row in group), self._engine.capacity, seconds))
            for (task, row), result in zip(group, results, strict=True):
                try:
                    self._apply(task, row, result)
                except Exception as exc:
                    self._blame([task], exc)
        if calls:
            plain = len(calls) == len(groups) and len(self._running) == running  # nothing was read, and nothing ended
            self._auto.observe(calls, time.perf_counter() - began - spent if plain else None)

    def _line_up(self, group: list[tuple[Task, Row]]) -> None:
        """Have the slots of a call lie side by side."""
        if len(group) > 1:
            for task, _ in group:
                self._engine.place(task.sequence.slot, block=task.sequence.mode is not Mode.AUTOREGRESSIVE)

    def _apply(self, task: Task, row: Row, result: RowResult) -> None:
        seq = task.sequence
        reading = seq.phase is Phase.PREFILL
        committed = modes.apply(seq, row, result)
        watched = seq.params.stream_provisional and row.sees == "block"
        if committed or seq.done or watched:
            self._emit(task, committed, watched=watched)
        if reading and seq.phase is not Phase.PREFILL and not seq.done:
            self._remember(seq, seq.prompt)

    def _remember(self, seq: Sequence, tokens: list[int]) -> None:
        """Keep what the slot holds of `tokens` for texts that begin alike; an answer does not fail for want of that."""
        try:
            self._prefixes.keep(tokens, lambda start, count: self._engine.copy_out(seq.slot, start, count))
        except Exception:
            logger.exception("the prefix cache could not keep %d tokens", len(tokens))

    def _plan(self) -> list[tuple[Task, Row]]:
        """Return the next pass of every live sequence; of those that read a text, about one chunk's worth in all."""
        planned: list[tuple[Task, Row]] = []
        self._oldest_next = not self._oldest_next
        left, begun = self._prefill_chunk, list[list[int]]()
        for task in reading_order(self._running, oldest_next=self._oldest_next):
            try:
                waits = left <= 0 or self._waits(task.sequence, begun)
            except Exception as exc:
                self._blame([task], exc)
                continue
            if not waits:
                left -= self._plan_one(task, planned)
        for task in self._running:
            if not reads(task.sequence):
                self._plan_one(task, planned)
        return planned

    def _plan_one(self, task: Task, planned: list[tuple[Task, Row]]) -> int:
        """Add a task's next pass; return its tokens."""
        try:
            row = modes.plan(task.sequence, self._prefill_chunk)
        except Exception as exc:
            self._blame([task], exc)
            return 0
        planned.append((task, row))
        return len(row.tokens)

    def _waits(self, seq: Sequence, begun: list[list[int]]) -> bool:
        """Take over what is known of a new prompt's beginning; or wait, while another is reading half of it or more.

        Args:
            begun: prompts that are being read in this step; a prompt that does not wait is added.
        """
        if seq.phase is not Phase.PREFILL or not self._prefixes.enabled or seq.params.reference:
            return False
        if not seq.cached:
            pages, half = self._prefixes.find(seq.prompt), len(seq.prompt) // 2
            shared = half >= 2 * PAGE and any(other[:half] == seq.prompt[:half] for other in begun)
            if shared and PAGE * len(pages) < half:
                return True
            self._prefixes.count(len(seq.prompt), len(pages))
            for number, page in enumerate(pages):
                self._engine.copy_in(seq.slot, number * PAGE, page)
            seq.cache(PAGE * len(pages))
            seq.counters.cached_tokens = PAGE * len(pages)
        begun.append(seq.prompt)
        return False

    def _blame(self, tasks: list[Task], cause: Exception) -> None:
        """End `tasks` with `cause`; the loop goes on. A defect of ours is logged in full."""
        if isinstance(cause, TrimodeError):
            error = cause
        else:
            logger.error("a decoding step failed", exc_info=cause)
            error = EngineError(f"a decoding step failed: {cause!r}")
        for task in tasks:
            self._fail(task, error)

    def _emit(self, task: Task, committed: list[int], *, watched: bool) -> None:
        """Turn newly committed tokens into text, end at a stop word, and send a chunk when there is one to send.

        A `watched` pass sends one in any case, with a snapshot of the block.
        """
        seq = task.sequence
        text, used, stopped = task.text.push(committed)
        if not stopped and seq.done:
            rest, stopped = task.text.finish()
            text += rest
        if stopped:
            seq.cut(len(seq.tokens) - len(committed) + used)
            seq.finish("stop")
        task.pending += text
        snapshot = Snapshot.of(seq) if watched else None
        if seq.done:
            self._running.remove(task)  # whoever has the answer must not find the request still running
            try:
                self._send(task, Chunk(finish_reason=seq.finish_reason), snapshot)
            except BaseException:
                self._running.append(task)
                raise
            self._let_go(seq)
        elif snapshot or (seq.params.stream and (task.pending or seq.params.return_token_ids)):
            self._send(task, Chunk(), snapshot)

    def _send(self, task: Task, chunk: Chunk, snapshot: Snapshot | None) -> None:
        seq = task.sequence
        chunk.text, task.prefix = task.prefix + task.pending, ""
        chunk.token_ids = seq.tokens[task.sent :]
        chunk.log_probs = seq.log_probs[task.sent :]
        task.pending, task.sent = "", len(seq.tokens)
        self._deliver(task, chunk, snapshot)

    def _fail(self, task: Task, error: TrimodeError) -> None:
        if task in self._running or task in self._waiting:
            self._release(task)
            self._deliver(task, Chunk(error=error))

    def _deliver(self, task: Task, chunk: Chunk, snapshot: Snapshot | None = None) -> None:
        if chunk.last:
            chunk.counters = task.sequence.counters
            chunk.num_input_tokens = len(task.sequence.prompt)
            chunk.auto = self._auto.told(task.sequence)
            chunk.seconds = time.monotonic() - task.submitted
        if snapshot is None:
            task.deliver(chunk)
        else:
            task.watch(chunk, snapshot)

    def _release(self, task: Task) -> None:
        """Take `task` out, running or waiting."""
        if task in self._waiting:
            self._waiting.remove(task)
        else:
            self._running.remove(task)
            self._let_go(task.sequence)

    def _let_go(self, seq: Sequence) -> None:
        """Learn from a sequence that ran, and give its slot back."""
        try:
            if seq.hole is None and seq.revision is None and not seq.params.reference:
                self._remember(seq, [*seq.prompt, *seq.tokens][: seq.cached])
                self._auto.finished(seq)
        finally:
            self._free(seq)
            self._stirred = True

    def _free(self, seq: Sequence) -> None:
        try:
            self._engine.free(seq.slot)
        except Exception:  # the answer must go out all the same
            logger.exception("slot %d could not be given back", seq.slot)

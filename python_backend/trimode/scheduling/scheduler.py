"""Scheduler: the loop. It admits jobs, asks each for its next pass, packs passes into engine calls, applies results.

One thread runs it and is the only one to touch the engine and the sequences. Knows nothing of Triton or of how a mode
decodes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from ..api.answer import Chunk
from ..api.fields import Mode
from ..auto.chooser import Auto, Call
from ..decoding.committed import Committed
from ..decoding.modes import registry as modes
from ..decoding.sequence import SequenceState
from ..engines.base import Engine, Row, RowResult
from ..errors import EngineError, TrimodeError
from . import delivery
from .batching import pack, reading_order, reads
from .job import Job
from .prefix_cache import PrefixCache
from .prefix_sharing import PrefixSharing
from .queue import JobQueue
from .snapshot import BlockSnapshot

logger = logging.getLogger(__name__)


class Scheduler:
    """Continuous batching: a job joins and leaves between passes, whatever its mode and length."""

    def __init__(
        self, engine: Engine, auto: Auto, prefixes: PrefixCache, queue: JobQueue, *, prefill_chunk: int
    ) -> None:
        """Start the thread; `auto` and `prefixes` are its own from now on.

        Args:
            prefill_chunk: tokens of a prompt that one pass reads at most.
        """
        self._engine = engine
        self._auto = auto
        self._prefixes = PrefixSharing(prefixes, engine)
        self._queue = queue
        self._prefill_chunk = prefill_chunk
        self._oldest_next = False
        self._thread = threading.Thread(target=self._loop, name="trimode-scheduler", daemon=True)
        self._thread.start()

    def close(self, grace_seconds: float) -> None:
        """Take nothing new, finish what there is within the grace period, end the rest as cancelled, stop."""
        self._queue.close(grace_seconds)
        self._thread.join()

    def _loop(self) -> None:
        while True:
            if not self._queue.stirred:
                with self._blaming([*self._queue.running]):  # whatever it was, nobody must wait for ever
                    self._step()
            elif not self._queue.attend(self._fail, self._admit):
                return

    def _admit(self, job: Job) -> None:
        seq = job.sequence
        with self._blaming([job]):
            self._auto.admit(seq, [other.sequence for other in self._queue.running], self._engine.capacity)
            seq.slot = self._engine.allocate(block=seq.mode is not Mode.AUTOREGRESSIVE)
            self._queue.start(job)

    def _step(self) -> None:
        """Run one pass of every live sequence; of those that read a text, about one chunk's worth in all."""
        running = self._queue.running
        began, count, observed = time.perf_counter(), len(running), self._auto.curve.due()
        self._auto.choose([job.sequence for job in running], self._engine.capacity)
        groups = pack(self._plan())
        calls, in_calls = list[Call](), 0.0
        for group in groups:
            with self._blaming([job for job, _ in group]):
                call, results = self._run(group)
                in_calls += call.seconds
                if observed and not any(reads(job.sequence) for job, _ in group):
                    calls.append(call)
                for (job, row), result in zip(group, results, strict=True):
                    with self._blaming([job]):
                        self._apply(job, row, result)
        if calls:
            plain = len(calls) == len(groups) and len(running) == count  # nothing was read, and nothing ended
            self._auto.observe(calls, time.perf_counter() - began - in_calls if plain else None)

    def _plan(self) -> list[tuple[Job, Row]]:
        """Return the next pass of every live sequence; of those that read a text, about one chunk's worth in all."""
        planned: list[tuple[Job, Row]] = []
        self._oldest_next = not self._oldest_next
        left, begun = self._prefill_chunk, list[list[int]]()
        for job in reading_order(self._queue.running, oldest_next=self._oldest_next):
            with self._blaming([job]):
                if left > 0 and not self._prefixes.must_wait(job.sequence, begun):
                    row = modes.plan(job.sequence, self._prefill_chunk)
                    planned.append((job, row))
                    left -= len(row.tokens)
        for job in [*self._queue.running]:
            if not reads(job.sequence):
                with self._blaming([job]):
                    planned.append((job, modes.plan(job.sequence, self._prefill_chunk)))
        return planned

    def _run(self, group: Sequence[tuple[Job, Row]]) -> tuple[Call, list[RowResult]]:
        """Run one engine call, once the slots of its rows lie side by side."""
        if len(group) > 1:
            for job, _ in group:
                self._engine.place(job.sequence.slot, block=job.sequence.mode is not Mode.AUTOREGRESSIVE)
        began = time.perf_counter()
        results = self._engine.run([row for _, row in group])
        seconds = time.perf_counter() - began
        longest = max(len(row.tokens) for _, row in group)
        return Call(len(group), longest, self._engine.capacity, seconds), results

    def _apply(self, job: Job, row: Row, result: RowResult) -> None:
        seq = job.sequence
        outcome = modes.apply(seq, row, result)
        self._auto.committed(seq, outcome)
        self._deliver(job, outcome)
        if outcome.prompt_read and not seq.done:
            self._prefixes.keep(seq, seq.prompt)

    def _deliver(self, job: Job, outcome: Committed) -> None:
        """Turn new tokens into text and send a chunk when there is one to send, or a block to watch."""
        seq = job.sequence
        watched = outcome.denoised and seq.params.returns.stream_provisional
        if not (outcome.tokens or seq.done or watched):
            return
        delivery.add_text(job, outcome.tokens)
        snapshot = BlockSnapshot.of(seq) if watched else None
        if seq.done:
            self._finish(job, snapshot)
        elif snapshot or delivery.has_news(job):
            delivery.send(job, Chunk(), snapshot)

    def _finish(self, job: Job, snapshot: BlockSnapshot | None) -> None:
        """Send the last chunk; whoever has the answer must not find the request still running."""
        self._queue.remove(job)
        try:
            delivery.send(job, delivery.last_chunk(job, self._auto.decisions(job.sequence)), snapshot)
        except BaseException:
            self._queue.running.append(job)
            raise
        self._let_go(job.sequence)

    def _blaming(self, jobs: list[Job]) -> _Blaming:
        return _Blaming(self, jobs)

    def blame(self, jobs: list[Job], cause: Exception) -> None:
        """End `jobs` with `cause`; the loop goes on. A defect of ours is logged in full."""
        if isinstance(cause, TrimodeError):
            error = cause
        else:
            logger.error("a decoding step failed", exc_info=cause)
            error = EngineError(f"a decoding step failed: {cause!r}")
        for job in jobs:
            self._fail(job, error)

    def _fail(self, job: Job, error: TrimodeError) -> None:
        """End a job that waits or runs with an error."""
        if job not in self._queue:
            return
        seq = job.sequence
        decisions = self._auto.decisions(seq)
        if self._queue.remove(job):
            self._let_go(seq)
        else:
            self._auto.finished(seq, learn=False)
        job.deliver(delivery.last_chunk(job, decisions, error))

    def _let_go(self, seq: SequenceState) -> None:
        """Learn from a sequence that ran, and give its slot back."""
        generated = seq.infill is None and seq.revise is None and not seq.params.reference
        try:
            if generated:
                self._prefixes.keep(seq, [*seq.prompt, *seq.tokens][: seq.cached])
            self._auto.finished(seq, learn=generated)
        finally:
            try:
                self._engine.free(seq.slot)
            except Exception:  # the answer must go out all the same
                logger.exception("slot %d could not be given back", seq.slot)
            self._queue.look_again()


class _Blaming:
    """`with` of work for some jobs: an exception ends these and no others. A class, because it is entered often."""

    __slots__ = ("_jobs", "_scheduler")

    def __init__(self, scheduler: Scheduler, jobs: list[Job]) -> None:
        self._scheduler = scheduler
        self._jobs = jobs

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._scheduler.blame(self._jobs, error)
        return True

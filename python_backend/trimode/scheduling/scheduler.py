"""Scheduler: the loop. It admits jobs, asks each for its next pass, packs passes into engine calls, applies results.

One thread runs it and is the only one to touch the engine and the sequences. Knows nothing of Triton or of how a mode
decodes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TypeVar

from ..api.answer import Chunk
from ..api.counters import StepTally
from ..auto.chooser import Auto
from ..decoding.committed import Committed
from ..decoding.modes import registry as modes
from ..decoding.sequence import Phase, SequenceState
from ..engines.base import Engine, Row, RowResult
from ..errors import DeviceLostError, EngineError, NotFiniteError, TrimodeError, engine_failure
from ..logs.request_id import named, working_for
from . import delivery
from .batching import pack, reading_order, reads_text
from .job import Job
from .prefix_cache import PrefixCache
from .prefix_sharing import PrefixSharing, Reading
from .queue import JobQueue
from .step_timer import StepTimer

logger = logging.getLogger(__name__)

STEP_FAILED = "a decoding step failed"
SPOILED = "a pass of %s gave values that are not finite at token %d"
NOT_FINITE = "the model's values for this request are not finite numbers; what it had computed was thrown away"

R = TypeVar("R")


def blaming(method: Callable[..., R]) -> Callable[..., R | None]:
    """Let an exception in a method that works for one job end that job and no other."""

    @wraps(method)
    def guarded(self: Scheduler, job: Job, *args: object) -> R | None:
        try:
            return method(self, job, *args)
        except Exception as exc:
            self._blame([job], exc)
            return None

    return guarded


class Scheduler:
    """Continuous batching: a job joins and leaves between passes, whatever its mode and length.

    Attributes:
        steps: how many tokens each step read of prompts and gave to answers.
        on_lost: called on the loop's thread, as its last act, once a lost GPU has ended every job.
    """

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
        self.steps = StepTally()
        self.on_lost: Callable[[DeviceLostError], None] = lambda cause: None
        self._lost: DeviceLostError | None = None
        self._thread = threading.Thread(target=self._loop, name="trimode-scheduler", daemon=True)
        self._thread.start()

    def close(self, grace_seconds: float) -> None:
        """Accept no more jobs, finish those there are within the grace period, end the rest as cancelled, stop."""
        self._queue.close(grace_seconds)
        self._thread.join()

    def lose(self, cause: DeviceLostError) -> None:
        """Accept no more jobs and end all there are with an error: no pass can succeed. Any thread may call it."""
        self._lost = cause
        self._queue.close(0)

    def stages(self) -> list[tuple[object, str, str]]:
        """Return the stages of the loop that can be timed apart: object, method and name of each."""
        return [(self, "_plan", "plan"), (self, "_apply", "apply"), (self, "_send", "send")]

    def _loop(self) -> None:
        while self._queue.update(self._fail, self._admit):
            while not self._queue.needs_update:
                try:
                    self._step()
                except Exception as exc:  # nobody must wait for ever, whatever failed
                    self._blame([*self._queue.running], exc)
        if self._lost is not None:
            self.on_lost(self._lost)

    @blaming
    def _admit(self, job: Job) -> None:
        seq = job.sequence
        self._auto.admit(seq, [other.sequence for other in self._queue.running], self._engine.capacity)
        seq.slot = self._engine.allocate(block=not seq.single)
        job.timing.admitted = time.monotonic()
        self._queue.start(job)
        if job.claim.trace is not None:
            job.trace = job.claim.trace.begin(seq.mode.value, job.made)
        facts = job.timing.admitted - job.submitted, seq.mode.value, len(seq.prompt)
        logger.debug("has a slot after %.3f s: mode %s, %d tokens of prompt", *facts, extra=named(job.claim.name))

    def _step(self) -> None:
        """Choose, plan, run and apply one pass of every live sequence."""
        running = self._queue.running
        timer = StepTimer(len(running), observed=self._auto.curve.due())
        self._auto.choose([job.sequence for job in running], self._engine.capacity)
        tokens, ran = 0, False
        for group in pack(self._plan()):
            try:
                results, seconds = self._run(group)
            except Exception as exc:
                timer.failed()
                self._blame([job for job, _ in group], exc)
                continue
            timer.ran(group, seconds, self._engine)
            tokens += sum(self._apply(job, row, result) or 0 for (job, row), result in zip(group, results, strict=True))
            ran = True
        if ran:
            self.steps.add(tokens)
        if timer.calls:
            self._auto.observe(timer.calls, timer.around(len(running)))

    def _plan(self) -> list[tuple[Job, Row]]:
        """Return the next pass of every live sequence; of those that read a text, about one chunk's worth in all."""
        planned: list[tuple[Job, Row]] = []
        self._oldest_next = not self._oldest_next
        left, being_read = self._prefill_chunk, list[Reading]()
        for job in reading_order(self._queue.running, oldest_next=self._oldest_next):
            if left > 0:
                self._plan_reading(job, planned, being_read)
                left = self._prefill_chunk - sum(len(row.tokens) for _, row in planned)
        for job in [*self._queue.running]:
            if not reads_text(job.sequence):
                self._plan_one(job, planned)
        return planned

    @blaming
    def _plan_reading(self, job: Job, planned: list[tuple[Job, Row]], being_read: list[Reading]) -> None:
        """Add the next chunk of a job that reads a text, unless it waits for another to read the same beginning."""
        if self._prefixes.take_over(job.sequence, being_read):
            self._plan_one(job, planned)

    @blaming
    def _plan_one(self, job: Job, planned: list[tuple[Job, Row]]) -> None:
        """Add a job's next pass."""
        planned.append((job, modes.plan(job.sequence, self._prefill_chunk)))

    def _run(self, group: Sequence[tuple[Job, Row]]) -> tuple[list[RowResult], float]:
        """Run one engine call, once the slots of its rows lie side by side; return what it gave and its seconds."""
        if len(group) > 1:
            for job, _ in group:
                self._engine.place(job.sequence.slot, block=not job.sequence.single)
        began = time.perf_counter()
        results = self._engine.run([row for _, row in group])
        seconds = time.perf_counter() - began
        if logger.isEnabledFor(logging.DEBUG):
            tokens = sum(len(row.tokens) for _, row in group)
            names = named(*(job.claim.name for job, _ in group))
            logger.debug("a pass of %d rows and %d tokens took %.1f ms", len(group), tokens, seconds * 1e3, extra=names)
        return results, seconds

    @blaming
    def _apply(self, job: Job, row: Row, result: RowResult) -> int:
        """Apply a pass; return the tokens of a prompt that it read, or of the answer that it gave."""
        seq, phase = job.sequence, job.sequence.phase
        read = len(row.tokens) if phase is Phase.PREFILL else 0
        if not result.finite:
            logger.error(SPOILED, seq.mode.value, row.start, extra=named(job.claim.name))
            raise NotFiniteError(NOT_FINITE)
        outcome = modes.apply(seq, row, result)
        if job.trace is not None:
            job.trace.passed(phase.name.lower(), len(outcome.tokens), outcome.drafted, outcome.verified)
        if outcome.drafted is not None:
            self._auto.verified(seq, outcome)
        self._deliver(job, outcome)
        if outcome.prompt_read and not seq.done:
            with working_for(job.claim.name):
                self._prefixes.keep(seq, seq.prompt)
        return read + len(outcome.tokens)

    def _deliver(self, job: Job, outcome: Committed) -> None:
        """Turn new tokens into text and send a chunk when there is one to send, or a block to watch."""
        seq = job.sequence
        watched = outcome.denoised and seq.params.returns.stream_provisional
        if not (outcome.tokens or seq.done or watched):
            return
        if outcome.tokens or seq.done:
            delivery.add_text(job, outcome.tokens)
        if watched:
            delivery.note_pass(job)
        if seq.done:
            self._finish(job)
        elif delivery.is_due(job):
            self._send(job, Chunk())

    def _finish(self, job: Job) -> None:
        """Send the last chunk. The job is removed first: a client with its answer must never find it still running."""
        self._queue.remove(job)
        try:
            self._send(job, delivery.last_chunk(job, self._auto.decisions(job.sequence)))
        except BaseException:
            self._queue.running.append(job)
            raise
        with working_for(job.claim.name):
            self._release(job.sequence)

    def _send(self, job: Job, chunk: Chunk) -> None:
        delivery.send(job, chunk)

    def _blame(self, jobs: list[Job], cause: Exception) -> None:
        """End `jobs` with `cause`; the loop goes on unless the GPU is lost."""
        if isinstance(cause, DeviceLostError):
            self.lose(cause)
        error = _for_callers(jobs, cause)
        for job in jobs:
            self._fail(job, error)

    def _fail(self, job: Job, error: TrimodeError) -> None:
        """End a job that waits or runs with an error."""
        if job not in self._queue:
            return
        error = error if self._lost is None else engine_failure(STEP_FAILED, self._lost)
        seq, ran = job.sequence, self._queue.remove(job)
        try:
            decisions = self._auto.decisions(seq)
        finally:
            if ran:
                with working_for(job.claim.name):
                    self._release(seq, sound=not isinstance(error, EngineError))
            else:
                self._auto.finished(seq, learn=False)
        delivery.send_held_back(job)
        job.deliver(delivery.last_chunk(job, decisions, error))

    def _release(self, seq: SequenceState, *, sound: bool = True) -> None:
        """Learn from a sequence that ran, unless the engine failed in it, and give its slot back."""
        generated = sound and seq.infill is None and seq.revise is None and not seq.params.reference
        try:
            if generated:
                self._prefixes.keep(seq, [*seq.prompt, *seq.tokens][: seq.cached])
            self._auto.finished(seq, learn=generated)
        finally:
            try:
                self._engine.free(seq.slot)
            except Exception:  # the answer must go out all the same
                logger.exception("slot %d could not be given back", seq.slot)
            self._queue.request_update()


def _for_callers(jobs: Sequence[Job], cause: Exception) -> TrimodeError:
    """Return what the callers of `jobs` hear of `cause`: what an engine says, and a defect of ours, is for the log."""
    if isinstance(cause, NotFiniteError) or (isinstance(cause, TrimodeError) and not isinstance(cause, EngineError)):
        return cause
    logger.error(STEP_FAILED, exc_info=cause, extra=named(*(job.claim.name for job in jobs)))
    return engine_failure(STEP_FAILED, cause)

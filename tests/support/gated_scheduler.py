"""A scheduler over a toy engine that waits at a gate, and the answers to what was submitted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from trimode.api.answer import Chunk
from trimode.api.defaults import Defaults
from trimode.api.params import GenerationParams
from trimode.auto.chooser import Auto
from trimode.decoding.sequence import SequenceState
from trimode.engines.base import Row, RowResult
from trimode.scheduling.job import Job
from trimode.scheduling.prefix_cache import PrefixCache
from trimode.scheduling.queue import JobQueue
from trimode.scheduling.scheduler import Scheduler
from trimode.text.answer_text import AnswerText

from tests.support.toy import EOS, MASK, ToyEngine, toy_curve

WAIT = 60.0
DEFAULTS = Defaults(ToyEngine().manifest.vocab_size, 8, EOS)


class GatedEngine(ToyEngine):
    """Runs only while its gate is open; `before` may fail a call; `calls_of` has the slots and widths of each."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.before: Callable[[Sequence[Row]], None] = lambda rows: None
        self.calls_of: list[list[tuple[int, int]]] = []

    @property
    def slots_taken(self) -> int:
        return len(self._slots)

    def run(self, rows: Sequence[Row]) -> list[RowResult]:
        self.entered.set()
        assert self.gate.wait(WAIT)
        self.calls_of.append([(row.slot, len(row.tokens)) for row in rows])
        self.before(rows)
        return super().run(rows)


class Answer:
    """One request's chunks as they came."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.chunks: list[Chunk] = []
        self.done = threading.Event()
        self.finished_at = 0.0

    def deliver(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        if chunk.last:
            self.finished_at = time.monotonic()
            self.done.set()

    @property
    def last(self) -> Chunk:
        assert self.done.wait(WAIT), "no last chunk came"
        return self.chunks[-1]


class GatedScheduler:
    """A scheduler over a gated engine, and what was submitted to it."""

    def __init__(self, max_slots: int = 4, max_queue: int = 8, prefill_chunk: int = 256, cache: int = 0) -> None:
        self.engine = GatedEngine()
        self.queue = JobQueue(max_slots=max_slots, max_queue=max_queue)
        self.auto = Auto(toy_curve(), 8)
        self.scheduler = Scheduler(self.engine, self.auto, PrefixCache(cache), self.queue, prefill_chunk=prefill_chunk)
        self.answers: list[Answer] = []

    def answer(self, *, prompt: int = 2, deadline: float | None = None, **given: Any) -> Answer:
        ids = [3 + at % 50 for at in range(prompt)]
        asked = {"input_ids": ids, "mode": "autoregressive", "max_tokens": 4, "end_id": -1, "seed": 1, **given}
        sequence = SequenceState(GenerationParams.parse(asked, DEFAULTS), ids, MASK)
        job = Job(sequence, AnswerText(None, [], at_once=True), lambda chunk: None)
        if deadline is not None:
            job.deadline = job.submitted + deadline
        answer = Answer(job)
        job.deliver = answer.deliver
        return answer

    def submit(self, **given: Any) -> Answer:
        answer = self.answer(**given)
        self.queue.submit(answer.job)
        self.answers.append(answer)
        return answer

    def shut_gate(self) -> None:
        self.engine.entered.clear()
        self.engine.gate.clear()

    def until_running(self) -> None:
        assert self.engine.entered.wait(WAIT)

    def close(self, grace: float = 0.0) -> threading.Thread:
        thread = threading.Thread(target=self.scheduler.close, args=(grace,))
        thread.start()
        return thread

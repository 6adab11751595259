"""Many requests to one runtime, in this process: so many at once, each followed by the next when it is answered."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trimode.api.answer import Chunk
from trimode.config import ServerConfig
from trimode.errors import TrimodeError
from trimode.runtime import Runtime

from .progress import MeasureError

Request = Mapping[str, Any]
SLOTS, QUEUE = 32, 100_000
PATIENCE = 300.0
"""Seconds without an answer after which asking is given up."""


@dataclass
class Answer:
    """One answer, whole. `runs` are the tokens of each chunk after the first token: of each cycle, where
    it was streamed with `return_token_ids`.

    `seconds` are from asking to the last chunk, `first_seconds` to the first text.
    """

    chunk: Chunk = field(default_factory=Chunk)
    runs: list[int] = field(default_factory=list)
    seconds: float = 0.0
    first_seconds: float = 0.0

    def add(self, chunk: Chunk, seconds: float) -> None:
        """Join the next chunk, which came after `seconds`."""
        if self.chunk.token_ids:
            self.runs.append(len(chunk.token_ids))
        if not self.first_seconds and (chunk.text or chunk.last):
            self.first_seconds = seconds
        text, ids = self.chunk.text + chunk.text, self.chunk.token_ids + chunk.token_ids
        self.chunk, self.seconds = replace(chunk, text=text, token_ids=ids), seconds


@dataclass(frozen=True)
class Crowd:
    """The answers in the order of the requests, and the seconds from the first request to the last chunk."""

    answers: list[Answer]
    seconds: float

    @property
    def chunks(self) -> list[Chunk]:
        """The answers as whole chunks."""
        return [answer.chunk for answer in self.answers]

    @property
    def texts(self) -> list[str]:
        """The answers' texts."""
        return [chunk.text for chunk in self.chunks]

    @property
    def tokens(self) -> int:
        """Tokens of all answers."""
        return sum(len(chunk.token_ids) for chunk in self.chunks)


def open_runtime(bundle: Path) -> Runtime:
    """Load `bundle` with room for many answers at once."""
    return Runtime.open(ServerConfig(bundle=bundle.resolve(), max_slots=SLOTS, max_queue=QUEUE))


def ask(
    runtime: Runtime,
    requests: Sequence[Request],
    at_once: int | None = None,
    answered: Callable[[], None] = lambda: None,
) -> Crowd:
    """Ask each of `requests` once, `at_once` at a time, or all; `answered` is called once an answer, for a bar.

    Raises:
        TrimodeError: the first request that was refused or failed.
        MeasureError: no answer came for PATIENCE seconds.
    """
    waiting, answers = deque(enumerate(requests)), [Answer() for _ in requests]
    ended: queue.SimpleQueue[TrimodeError | None] = queue.SimpleQueue()

    def submit_next() -> None:  # on the runtime's thread for all but the first requests
        try:
            number, request = waiting.popleft()
        except IndexError:
            return
        began = time.perf_counter()

        def sink(chunk: Chunk) -> None:
            answers[number].add(chunk, time.perf_counter() - began)
            if chunk.error is None and chunk.last:
                submit_next()
            if chunk.last:
                ended.put(chunk.error)

        try:
            runtime.submit(request, sink)
        except TrimodeError as exc:
            ended.put(exc)

    started = time.perf_counter()
    for _ in range(min(at_once or len(requests), len(requests))):
        submit_next()
    try:
        for _ in requests:
            error = ended.get(timeout=PATIENCE)
            if error is not None:
                raise error
            answered()
    except queue.Empty:
        raise MeasureError(f"{len(requests)} requests, and for {PATIENCE:g} s no answer") from None
    finally:
        waiting.clear()  # after a failure nothing more is asked
    return Crowd(answers, time.perf_counter() - started)

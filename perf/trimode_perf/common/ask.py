"""A crowd: so many askers at once, each asking its next prompt when the last one is answered. In process."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimode.api.answer import Chunk
from trimode.errors import TrimodeError
from trimode.runtime import Runtime

PATIENCE = 300.0


@dataclass(frozen=True)
class Finished:
    """One answer: seconds from asking to the last chunk, and to the first text."""

    text: str
    tokens: int
    seconds: float
    first_seconds: float


@dataclass(frozen=True)
class Crowd:
    """What a crowd got, in the order of its prompts, and how long it took from first to last."""

    answers: list[Finished]
    seconds: float

    @property
    def texts(self) -> list[str]:
        """The answers' texts."""
        return [answer.text for answer in self.answers]

    @property
    def tokens(self) -> int:
        """Tokens of all answers."""
        return sum(answer.tokens for answer in self.answers)


class _Asker:
    """Hands out the requests, one at a time to each member of the crowd."""

    def __init__(self, runtime: Runtime, requests: Sequence[Mapping[str, Any]], max_tokens: int) -> None:
        self._runtime, self._requests, self._max_tokens = runtime, requests, max_tokens
        self._next = 0
        self._lock = threading.Lock()
        self.answers: dict[int, Finished] = {}
        self.error: TrimodeError | None = None
        self.done = threading.Event()

    def ask(self) -> None:
        """Ask the next request, if there is one; the one after it follows from its last chunk."""
        with self._lock:
            number, self._next = self._next, self._next + 1
        if number >= len(self._requests):
            return
        began, first, text, tokens = time.perf_counter(), 0.0, "", 0

        def sink(chunk: Chunk) -> None:
            nonlocal first, text, tokens
            if not first and (chunk.text or chunk.last):
                first = time.perf_counter() - began
            text, tokens = text + chunk.text, tokens + len(chunk.token_ids)
            if chunk.error is not None:
                self.error = chunk.error
                self.done.set()
            elif chunk.last:
                self.answers[number] = Finished(text, tokens, time.perf_counter() - began, first)
                if len(self.answers) == len(self._requests):
                    self.done.set()
                self.ask()

        try:
            self._runtime.submit({**self._requests[number], "stream": True, "max_tokens": self._max_tokens}, sink)
        except TrimodeError as exc:  # on the runtime's thread for all but a crowd's first requests
            self.error = exc
            self.done.set()


def ask_together(runtime: Runtime, requests: Sequence[Mapping[str, Any]], size: int, max_tokens: int) -> Crowd:
    """Return what a crowd of `size` got for `requests`, each asked once.

    Raises:
        TrimodeError: a request failed.
        TimeoutError: not all was answered within PATIENCE seconds.
    """
    asker = _Asker(runtime, requests, max_tokens)
    began = time.perf_counter()
    for _ in range(size):
        asker.ask()
    if not asker.done.wait(PATIENCE):
        raise TimeoutError(f"{len(asker.answers)} of {len(requests)} answers came within {PATIENCE:g} s")
    if asker.error is not None:
        raise asker.error
    seconds = time.perf_counter() - began
    return Crowd([asker.answers[number] for number in range(len(requests))], seconds)

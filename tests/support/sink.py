"""Where a request's chunks go in a test."""

from __future__ import annotations

import threading

from trimode.api.answer import Chunk

WAIT = 5.0


class Sink:
    """Collects chunks."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.done = threading.Event()

    def __call__(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        self.done.set()

    @property
    def only(self) -> Chunk:
        assert self.done.wait(WAIT), "no answer came"
        assert len(self.chunks) == 1 and self.chunks[0].last
        return self.chunks[0]

"""Where a request's chunks go in a test."""

from __future__ import annotations

import threading

from trimode.api.answer import Chunk

WAIT = 60.0


class Sink:
    """Collects chunks; raises after each when it is a bad one."""

    def __init__(self, *, bad: bool = False) -> None:
        self.chunks: list[Chunk] = []
        self.bad = bad
        self.done = threading.Event()

    def __call__(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        if chunk.last:
            self.done.set()
        if self.bad:
            raise RuntimeError("the client is gone")

    @property
    def last(self) -> Chunk:
        assert self.done.wait(WAIT), "no last chunk came"
        return self.chunks[-1]

    @property
    def only(self) -> Chunk:
        """The answer of a request that gives one chunk."""
        assert self.last is self.chunks[0] and len(self.chunks) == 1
        return self.last

"""Many requests at once through Runtime, in one process, and their last chunks in order."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trimode.api.answer import Chunk
from trimode.runtime import Runtime

Request = Mapping[str, Any]


def ask(runtime: Runtime, requests: Sequence[Request], answered: Callable[[], None]) -> list[Chunk]:
    """Return each request's whole answer as one chunk; `answered` is called once for each, for a progress bar.

    Raises:
        TrimodeError: the first request that was refused or failed.
    """
    chunks: queue.SimpleQueue[tuple[int, Chunk]] = queue.SimpleQueue()

    def sink(number: int) -> Callable[[Chunk], None]:
        return lambda chunk: chunks.put((number, chunk))

    for number, request in enumerate(requests):
        runtime.submit({**request, "return_token_ids": True}, sink(number))
    answers, left = [Chunk() for _ in requests], len(requests)
    while left:
        number, chunk = chunks.get()
        if chunk.error is not None:
            raise chunk.error
        before = answers[number]
        answers[number] = replace(chunk, text=before.text + chunk.text, token_ids=before.token_ids + chunk.token_ids)
        if chunk.last:
            left -= 1
            answered()
    return answers

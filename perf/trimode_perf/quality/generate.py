"""Answers many prompts at once through Runtime, in one process, so that its batching does the work."""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimode.api.answer import Chunk
from trimode.api.counters import Counters
from trimode.config import ServerConfig
from trimode.runtime import Runtime

from ..common.prompts import Prompt

SLOTS = 32
QUEUE = 100_000


@dataclass
class Answer:
    """One prompt's answer. `runs` are the tokens that each cycle after the first token gave, filled when streamed."""

    ids: list[int] = field(default_factory=list)
    text: str = ""
    ended: bool = False
    counters: Counters = field(default_factory=Counters)
    runs: list[int] = field(default_factory=list)


def open_runtime(bundle: Path) -> Runtime:
    """Load `bundle` with room for many answers in flight."""
    return Runtime.open(ServerConfig(bundle=bundle.resolve(), max_slots=SLOTS, max_queue=QUEUE))


def answer_all(
    runtime: Runtime,
    prompts: Sequence[Prompt],
    fields: Mapping[str, Any],
    limit: Callable[[Prompt], int],
    answered: Callable[[], None],
    *,
    stream: bool = False,
) -> list[Answer]:
    """Return the answers in the order of `prompts`; `limit` gives each one's max_tokens.

    Args:
        answered: called once an answer, for a progress bar.
        stream: also record how many tokens each cycle gave: a streamed chunk is a cycle.

    Raises:
        TrimodeError: the first request that was refused or failed.
    """
    chunks: queue.SimpleQueue[tuple[int, Chunk]] = queue.SimpleQueue()
    shared = {**fields, "stream": stream, "return_token_ids": True}

    def sink(number: int) -> Callable[[Chunk], None]:
        return lambda chunk: chunks.put((number, chunk))

    for number, prompt in enumerate(prompts):
        runtime.submit({**prompt.fields, **shared, "max_tokens": limit(prompt)}, sink(number))
    answers, left = [Answer() for _ in prompts], len(prompts)
    while left:
        number, chunk = chunks.get()
        if chunk.error is not None:
            raise chunk.error
        answer = answers[number]
        if answer.ids:
            answer.runs.append(len(chunk.token_ids))
        answer.ids += chunk.token_ids
        answer.text += chunk.text
        if chunk.last:
            answer.counters, answer.ended = chunk.counters, chunk.finish_reason == "stop"
            left -= 1
            answered()
    return answers

"""Task: one sequence on its way through the scheduler: its text so far, where its chunks go, how it may end early."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..api.answer import Chunk
from ..decoding.sequence import Sequence
from ..text.stop_words import AnswerText
from .snapshot import Snapshot


@dataclass(eq=False)
class Task:
    """One sequence in the scheduler.

    `watch` takes a chunk in the place of `deliver` when a snapshot of the block goes with it. Tasks of one `owner`
    belong to one request and share its turn; None is an owner by itself.
    """

    sequence: Sequence
    text: AnswerText
    deliver: Callable[[Chunk], None]
    watch: Callable[[Chunk, Snapshot], None] = lambda chunk, snapshot: None
    prefix: str = ""
    deadline: float | None = None
    submitted: float = field(default_factory=time.monotonic)
    cancelled: bool = False
    pending: str = ""
    sent: int = 0
    owner: object = None

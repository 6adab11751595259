"""Job: one sequence on its way through the scheduler: its text so far, where its chunks go, how it may end early."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..api.answer import Chunk
from ..decoding.sequence import SequenceState
from ..text.answer_text import AnswerText
from .snapshot import BlockSnapshot


@dataclass(eq=False)
class Job:
    """One sequence in the scheduler.

    Attributes:
        deliver: takes each chunk, and must not block.
        watch: takes a chunk instead of `deliver` when a snapshot of the block goes with it.
        prompt_text: text that goes out in front of the first chunk's.
        deadline, submitted: seconds of time.monotonic().
        pending: text that is certain and not sent. sent: how many tokens were sent.
        owner: jobs of one owner belong to one request and share its turn; a job without one is its own.
    """

    sequence: SequenceState
    text: AnswerText
    deliver: Callable[[Chunk], None]
    watch: Callable[[Chunk, BlockSnapshot], None] = lambda chunk, snapshot: None
    prompt_text: str = ""
    deadline: float | None = None
    submitted: float = field(default_factory=time.monotonic)
    cancelled: bool = False
    pending: str = ""
    sent: int = 0
    owner: object = None

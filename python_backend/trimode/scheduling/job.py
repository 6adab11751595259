"""Job: one sequence on its way through the scheduler: its text so far, where its chunks go, whose it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..api.answer import Chunk, Timing
from ..decoding.sequence import SequenceState
from ..text.answer_text import AnswerText
from ..tracing.request_trace import RequestTrace, SequenceTrace
from .snapshot import BlockSnapshot


@dataclass(frozen=True)
class Claim:
    """Whose a request is, and how urgent: all that the queue's order knows of it in addition to its arrival.

    Attributes:
        caller: who sent it, by the address that the front saw; "" if it did not come by the front.
        user: whom the caller sent it for, as the caller says.
        priority: among the requests of one caller the lowest goes first.
        name: what lines of the log name the request by.
        trace: notes its passes; None where nobody asked for spans.
    """

    caller: str = ""
    user: str = ""
    priority: int = 0
    name: str = field(default="", compare=False)
    trace: RequestTrace | None = field(default=None, compare=False)


@dataclass(eq=False)
class Job:
    """One sequence in the scheduler.

    Attributes:
        deliver: takes each chunk, and must not block.
        watch: takes a chunk instead of `deliver` when snapshots of blocks go with it.
        prompt_text: text that goes out in front of the first chunk's.
        deadline, submitted: seconds of time.monotonic().
        timing: when what happened. made: when it was made, in nanoseconds since 1970.
        pending: text that is certain and not sent. passes: snapshots of blocks that are not sent.
        sent: how many tokens were sent, and sent_at: when, as `submitted`; None before the first response.
        owner: jobs of one owner belong to one request and share its turn; a job without one is its own.
        claim: whose request it is, and how urgent.
        arrival: its place in the order of arrival; the queue sets it. begun: its request had a slot before.
        displaced: it is to make room in the queue for another caller's request.
        trace: notes its passes, from its slot on, where spans were asked for.
    """

    sequence: SequenceState
    text: AnswerText
    deliver: Callable[[Chunk], None]
    watch: Callable[[Chunk, list[BlockSnapshot]], None] = lambda chunk, passes: None
    prompt_text: str = ""
    deadline: float | None = None
    submitted: float = field(default_factory=time.monotonic)
    made: int = field(default_factory=time.time_ns)
    cancelled: bool = False
    pending: str = ""
    passes: list[BlockSnapshot] = field(default_factory=list)
    sent: int = 0
    sent_at: float | None = None
    owner: object = None
    claim: Claim = Claim()
    arrival: int = 0
    begun: bool = False
    displaced: bool = False
    trace: SequenceTrace | None = None
    timing: Timing = field(init=False)

    def __post_init__(self) -> None:
        self.timing = Timing(self.submitted)

    @property
    def request(self) -> int:
        """A number that the jobs of one request have in common."""
        return id(self.owner or self)

"""A request to fill gaps in a text: gap after gap, each tried in several sizes at once, the likeliest text kept.

Composes decoding tasks; each size of a gap is a sequence of its own in the scheduler, beside all others. Where the size
is open, what the model writes from left to right without the right side is tried too, up to where it meets the right
side. Knows nothing of engines; how one gap of known size is filled is in modes/infill.py.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from ..api.answer import Candidate, Chunk, Counters
from ..api.fields import Mode
from ..api.params import GenerationParams
from ..decoding.infill_state import Hole
from ..decoding.modes.infill import begin
from ..decoding.sequence import Sequence as Decoding
from ..errors import CancelledError, EngineError, PromptTooLongError, TrimodeError
from ..scheduling.job import Task
from ..scheduling.scheduler import Scheduler
from ..text.stop_words import AnswerText
from ..text.tokenizer import Tokenizer
from .gapped_text import GappedText, Sides, Start

logger = logging.getLogger(__name__)

LADDER = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Sizes tried first where none is given; then those between the best one's neighbours, a few at a time."""
REFINED = 8
ROUNDS = 3
"""Most times that sizes are tried."""
MEETING = 8
"""Tokens that a draft from left to right may go beyond the largest size, to meet the right side there."""


@dataclass(frozen=True)
class _Tried:
    """One filling of a gap, and how likely the text is with it; `mode` says how it was made."""

    mode: Mode
    tokens: list[int]
    log_probs: list[float]
    text: str
    score: float | None
    worth: int = 1

    @property
    def size(self) -> int:
        """How many tokens fill the gap."""
        return len(self.tokens)


@dataclass
class _Gap:
    """The gap at hand or one filled before: its sides, the sizes tried first, and those that are done."""

    sides: Sides
    sizes: tuple[int, ...]
    open: bool  # whether the request left the size open
    tried: list[_Tried] = field(default_factory=list)
    rounds: int = 1

    @property
    def best(self) -> _Tried:
        """The likeliest of those worth most; of equals the smallest."""
        return max(self.tried, key=lambda one: (one.worth, -np.inf if one.score is None else one.score, -one.size))

    def between(self) -> tuple[int, ...]:
        """Return sizes between the best one's neighbours, where the request left the size open and rounds are left."""
        if not self.open or self.rounds == ROUNDS:
            return ()
        self.rounds += 1
        known = {one.size for one in self.tried if one.mode is Mode.DIFFUSION}
        best = self.best.size
        low = max((size for size in known if size < best), default=best - 1)
        high = min((size for size in known if size > best), default=best + 1)
        inside = [size for size in range(low + 1, high) if size not in known]
        if len(inside) <= REFINED:
            return tuple(inside)
        return tuple(inside[at * len(inside) // REFINED] for at in range(REFINED))


class Infill:
    """One such request while it runs.

    `start` and `cancel` may be called from any thread; all else runs on the sender's, which takes one chunk after
    another, so that the request is answered exactly once.
    """

    def __init__(
        self,
        params: GenerationParams,
        tokenizer: Tokenizer,
        scheduler: Scheduler,
        *,
        mask_token_id: int,
        capacity: int,
        banned: tuple[int, ...],
        adapter: bool,
        post: Callable[[Callable[[Chunk], None], Chunk], None],
        deliver: Callable[[Chunk], None],
    ) -> None:
        """Tie it to the runtime.

        Args:
            banned: ids that must not fill a gap.
            adapter: whether the checkpoint has a draft adapter.
            post: hands a chunk to a function on the sender's thread.
            deliver: takes the one chunk that this request is answered with.

        Raises:
            RequestError: text, gaps and one block do not fit `capacity`, or the chat template refuses the messages.
        """
        self._params, self._tokenizer, self._scheduler = params, tokenizer, scheduler
        self._text = GappedText.of(params, tokenizer)
        self._known = self._text.check(params, tokenizer, capacity)
        self._mask_token_id, self._capacity, self._banned, self._adapter = mask_token_id, capacity, banned, adapter
        self._post, self._deliver = post, deliver
        self._lock = threading.Lock()  # of the next two
        self._tasks: list[Task] = []
        self._cancelled = False
        self._started = 0.0
        self._deadline: float | None = None
        self._begun = False
        self._waiting = 0
        self._over = False
        self._gaps: list[_Gap] = []
        self._fills: list[str] = []
        self._counters = Counters()

    def start(self, seconds: float | None) -> None:
        """Queue the first gap's tasks; raises what the scheduler's submit raises, and then nothing was queued."""
        self._started = time.monotonic()
        self._deadline = None if seconds is None else self._started + seconds
        self._open_gap()

    def cancel(self) -> None:
        """End all tasks; the answer is then a CancelledError unless it was sent."""
        with self._lock:
            self._cancelled = True
            tasks = list(self._tasks)
        for task in tasks:
            self._scheduler.cancel(task)

    def _open_gap(self) -> None:
        """Go to the next gap: read what stands around it and queue its first sizes."""
        at = len(self._fills)
        last = at + 1 == len(self._text.sizes)
        end_id = self._params.end_id if self._text.closed and last else None
        left, right = self._text.left(self._fills), self._text.pieces[at + 1]
        block, capacity = self._params.block_length, self._capacity
        sides = Sides(self._tokenizer, left, right, block=block, end_id=end_id, capacity=capacity)
        given, limit = self._text.sizes[at], self._params.max_tokens
        sizes = given or (*(size for size in LADDER if size < limit), limit)
        gap = _Gap(sides, sizes, open=not given)
        self._gaps.append(gap)
        largest = max(sizes)
        self._check_room(largest)
        if gap.open:
            room = capacity - len(sides.starts[-1].prompt) - block
            most = min(largest + MEETING, room)
            drafts = [self._draft(start, most) for start in sides.starts if start.prompt and sides.right]
            self._queue([*drafts, *(self._filling(sides.starts[0], size) for size in sizes)])
        else:  # a token that was taken back may come again, or be one with the gap's first
            pairs = [(start, sorted({*sizes, *(size + start.tokens for size in sizes)})) for start in sides.starts]
            self._queue([self._filling(start, size) for start, own in pairs for size in own])

    def _check_room(self, size: int) -> None:
        """Raise if a gap of `size` does not fit: what filled earlier gaps may take more tokens in its place."""
        prompt, block = len(self._gaps[-1].sides.starts[-1].prompt), self._params.block_length
        if prompt + size + block > self._capacity:
            limit = f"must leave room for a gap of {size} and a block of {block} in {self._capacity} tokens"
            raise PromptTooLongError(self._params.prompt_field, limit, f"{prompt} tokens")

    def _queue(self, tasks: list[Task]) -> None:
        """Queue `tasks`, all or none."""
        with self._lock:
            if self._cancelled:
                raise CancelledError("the request was cancelled")
            self._tasks += tasks
        self._waiting += len(tasks)
        self._scheduler.submit(*tasks, begun=self._begun)
        self._begun = True

    def _filling(
        self, start: Start, size: int, given: list[int] | None = None, log_probs: Sequence[float] = ()
    ) -> Task:
        """Return the task that fills the gap with `size` tokens, or scores those that are `given`."""
        gap = self._gaps[-1]
        judged = gap.open or len(gap.sizes) > 1 or len(gap.sides.starts) > 1 or self._params.return_candidates
        right = np.array(gap.sides.right, dtype=np.int64)
        read = partial(gap.sides.read, start, sizes=() if gap.open else gap.sizes)
        hole = Hole(size, right, read, self._banned, start.heads, judged, given)
        params = replace(self._params, max_tokens=size, stream=False)
        sequence = Decoding(params, start.prompt, self._mask_token_id, log_probs=list(log_probs), hole=hole)
        if not sequence.prompt:
            begin(sequence)
        return self._task(sequence, start)

    def _draft(self, start: Start, size: int) -> Task:
        """Return the task that goes on from the left side as if there were no right one; drafts make it quick."""
        params = replace(
            self._params,
            mode=Mode.SELF_SPECULATION,
            max_tokens=size,
            stream=False,
            threshold=0.0,
            denoise_steps=self._params.block_length,
            reveal="threshold",
            draft_adapter=self._adapter,
        )
        return self._task(Decoding(params, start.prompt, self._mask_token_id, self._adapter), start)

    def _task(self, sequence: Decoding, start: Start) -> Task:
        text = AnswerText(None, (), at_once=True)
        task = Task(sequence, text, lambda chunk: None, deadline=self._deadline, submitted=self._started, owner=self)
        task.deliver = lambda chunk: self._post(lambda one: self._collect(sequence, start, one), chunk)
        return task

    def _collect(self, sequence: Decoding, start: Start, chunk: Chunk) -> None:
        """Take in a task's only chunk; answer when it was the last that was needed, or when it failed."""
        if self._over:
            return
        self._counters += chunk.counters
        try:
            if chunk.error is not None:
                raise chunk.error
            answer = self._advance(sequence, start)
        except TrimodeError as error:
            answer = Chunk(error=error)
        except Exception as exc:
            logger.exception("a gap could not be filled")
            answer = Chunk(error=EngineError(f"a gap could not be filled: {exc!r}"))
        if answer is None:
            return
        self._over = True
        if answer.error is not None:
            self.cancel()  # what else runs
        answer.counters = replace(self._counters, output_tokens=len(answer.token_ids))
        answer.num_input_tokens = self._known
        answer.seconds = time.monotonic() - self._started
        self._deliver(answer)

    def _advance(self, sequence: Decoding, start: Start) -> Chunk | None:
        """Note what is done; after the last task try sizes between, go to the next gap, or return the answer."""
        gap, hole = self._gaps[-1], sequence.hole
        if hole is None:
            kept = [at for at, token in enumerate(sequence.tokens) if token not in self._banned]
            tokens = gap.sides.meet(start, [sequence.tokens[at] for at in kept])
            if tokens:
                log_probs = [sequence.log_probs[at] for at in kept[: len(tokens)]] if sequence.log_probs else []
                self._queue([self._filling(start, len(tokens), tokens, log_probs)])
        elif hole.reading is not None:
            mode = Mode.DIFFUSION if hole.given is None else Mode.AUTOREGRESSIVE
            reading = hole.reading
            gap.tried.append(_Tried(mode, sequence.tokens, sequence.log_probs, reading.text, hole.score, reading.worth))
        self._waiting -= 1
        if self._waiting:
            return None
        if not gap.tried:  # nothing that began with what was taken back fitted the left side
            self._queue([self._filling(gap.sides.starts[-1], size) for size in gap.sizes])
            return None
        if between := gap.between():
            self._queue([self._filling(gap.sides.starts[0], size) for size in between])
            return None
        self._fills.append(gap.best.text)
        if len(self._fills) < len(self._text.sizes):
            self._open_gap()
            return None
        return self._answer()

    def _answer(self) -> Chunk:
        kept = [gap.best for gap in self._gaps]
        return Chunk(
            text="".join(self._fills) if self._params.exclude_input_in_output else self._text.whole(self._fills),
            token_ids=[token for one in kept for token in one.tokens],
            log_probs=[value for one in kept for value in one.log_probs],
            finish_reason="stop",
            fills=list(self._fills),
            candidates=[self._candidates(gap) for gap in self._gaps] if self._params.return_candidates else [],
        )

    def _candidates(self, gap: _Gap) -> list[Candidate]:
        """Return every size that was tried, the smallest first."""
        tried = sorted(gap.tried, key=lambda one: one.size)
        return [Candidate(one.size, str(one.mode), one.text, one.score) for one in tried]

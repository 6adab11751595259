"""A request to fill gaps in a text: gap after gap, each tried in several sizes at once, the likeliest text kept.

Composes decoding tasks; each size of a gap is a sequence of its own in the scheduler, beside all others. Knows nothing
of engines; how one gap of known size is filled is in modes/infill.py.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from .errors import CancelledError, EngineError, PromptTooLongError, TrimodeError
from .gaps import GappedText, Sides
from .modes.infill import open_window
from .output import Candidate, Chunk, Counters
from .params import GenerationParams
from .scheduler import Scheduler, Task
from .sequence import Hole
from .sequence import Sequence as Decoding
from .stop import AnswerText
from .tokenizer import Tokenizer

logger = logging.getLogger(__name__)

LADDER = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Sizes tried first where none is given; then every one, or a few, between the best one's neighbours."""
REFINED = 8


@dataclass(frozen=True)
class _Tried:
    """One size of a gap that was filled, and how likely the text is with it."""

    size: int
    tokens: list[int]
    log_probs: list[float]
    score: float | None


@dataclass
class _Gap:
    """The gap at hand or one filled before: its sides, the sizes tried first, and those that are done."""

    sides: Sides
    sizes: tuple[int, ...]
    open: bool  # whether the request left the size open
    tried: list[_Tried] = field(default_factory=list)

    @property
    def best(self) -> _Tried:
        """The likeliest; of equals the smallest."""
        return max(self.tried, key=lambda one: (-np.inf if one.score is None else one.score, -one.size))

    def between(self) -> tuple[int, ...]:
        """Return the sizes between the best one's neighbours, once, where the request left the size open."""
        if not self.open or len(self.tried) != len(self.sizes):
            return ()
        best = self.best.size
        inside = [size for low, high in pairwise(self.sizes) if best in (low, high) for size in range(low + 1, high)]
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
        post: Callable[[Callable[[Chunk], None], Chunk], None],
        deliver: Callable[[Chunk], None],
    ) -> None:
        """Tie it to the runtime.

        Args:
            banned: ids that must not fill a gap.
            post: hands a chunk to a function on the sender's thread.
            deliver: takes the one chunk that this request is answered with.

        Raises:
            RequestError: text, gaps and one block do not fit `capacity`, or the chat template refuses the messages.
        """
        self._params, self._tokenizer, self._scheduler = params, tokenizer, scheduler
        self._text = GappedText.of(params, tokenizer)
        self._known = self._text.check(params, tokenizer, capacity)
        self._mask_token_id, self._capacity, self._banned = mask_token_id, capacity, banned
        self._post, self._deliver = post, deliver
        self._lock = threading.Lock()  # of the next two
        self._tasks: list[Task] = []
        self._cancelled = False
        self._started = 0.0
        self._deadline: float | None = None
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
        sides = Sides(self._tokenizer, left, right, block=self._params.block_length, end_id=end_id)
        given, limit = self._text.sizes[at], self._params.max_tokens
        sizes = given or (*(size for size in LADDER if size < limit), limit)
        self._gaps.append(_Gap(sides, sizes, open=not given))
        self._try(sizes)

    def _try(self, sizes: Sequence[int]) -> None:
        """Queue one task for each of `sizes`, or none of them."""
        prompt, block = len(self._gaps[-1].sides.prompt), self._params.block_length
        if prompt + max(sizes) + block > self._capacity:  # what filled earlier gaps may take more tokens in its place
            limit = f"must leave room for a gap of {max(sizes)} and a block of {block} in {self._capacity} tokens"
            raise PromptTooLongError(self._params.prompt_field, limit, f"{prompt} tokens")
        tasks = [self._task(size) for size in sizes]
        with self._lock:
            if self._cancelled:
                raise CancelledError("the request was cancelled")
            self._tasks = tasks
        self._waiting = len(tasks)
        first = len(self._gaps) == 1 and not self._gaps[0].tried
        self._scheduler.submit(*tasks, begun=not first)

    def _task(self, size: int) -> Task:
        gap = self._gaps[-1]
        judged = gap.open or len(gap.sizes) > 1 or self._params.return_candidates
        right = np.array(gap.sides.right, dtype=np.int64)
        hole = Hole(size, right, self._banned, gap.sides.around if judged else None)
        params = replace(self._params, max_tokens=size, stream=False)
        sequence = Decoding(params, gap.sides.prompt, self._mask_token_id, hole=hole)
        if not sequence.prompt:
            open_window(sequence)
        text = AnswerText(None, (), at_once=True)
        task = Task(sequence, text, lambda chunk: None, deadline=self._deadline, submitted=self._started)
        task.deliver = lambda chunk: self._post(lambda one: self._collect(sequence, one), chunk)
        return task

    def _collect(self, sequence: Decoding, chunk: Chunk) -> None:
        """Take in a task's only chunk; answer when it was the last that was needed, or when it failed."""
        if self._over:
            return
        self._counters += chunk.counters
        try:
            if chunk.error is not None:
                raise chunk.error
            answer = self._advance(sequence)
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
        answer.num_input_tokens = self._known + len(self._gaps[-1].sides.right)
        answer.seconds = time.monotonic() - self._started
        self._deliver(answer)

    def _advance(self, sequence: Decoding) -> Chunk | None:
        """Note a size that is done; after the last one try those between, go to the next gap, or return the answer."""
        gap, hole = self._gaps[-1], sequence.hole
        assert hole is not None
        gap.tried.append(_Tried(hole.size, sequence.tokens, sequence.log_probs, hole.score))
        self._waiting -= 1
        if self._waiting:
            return None
        if between := gap.between():
            self._try(between)
            return None
        self._fills.append(self._tokenizer.decode_whole(gap.best.tokens))
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
        return [Candidate(one.size, self._tokenizer.decode_whole(one.tokens), one.score) for one in tried]

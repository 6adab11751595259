"""A request to fill gaps in a text: gap after gap, each tried in several sizes at once, the likeliest text kept.

Composes decoding tasks; each size of a gap is a sequence of its own in the scheduler, beside all others. Knows nothing
of engines; how one gap of known size is filled is in modes/infill.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from .errors import TrimodeError
from .modes.infill import open_window
from .output import Candidate, Chunk, Counters
from .params import GenerationParams
from .scheduler import Task
from .sequence import Hole, Seam
from .sequence import Sequence as Decoding
from .stop import AnswerText
from .tokenizer import Tokenizer

LADDER = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Sizes tried first where none is given; then every one, or a few, between the best one's neighbours."""
REFINED = 8
SEAM_TOKENS = 8
"""Tokens left of a gap that are tokenized again with what fills it."""


@dataclass(frozen=True)
class _Tried:
    """One size of a gap that was filled, and how likely the text is with it."""

    size: int
    task: Task
    score: float


def _best(tried: Sequence[_Tried]) -> _Tried:
    """The likeliest; of equals the smallest."""
    return max(tried, key=lambda one: (one.score, -one.size))


@dataclass(frozen=True)
class Text:
    """What a request to fill gaps means: `context` is seen and not returned, pieces[0], gap, pieces[1], gap, …"""

    context: str
    pieces: tuple[str, ...]
    sizes: tuple[tuple[int, ...], ...]  # of each gap; empty means to search
    closed: bool  # the last piece ends the model's turn

    @classmethod
    def of_segments(cls, segments: Sequence[str | int | None]) -> Text:
        """Build it from strings and, for each gap, its size or None."""
        pieces, sizes = [""], []
        for item in segments:
            if isinstance(item, str):
                pieces[-1] += item
            else:
                pieces.append("")
                sizes.append((item,) if item else ())
        return cls("", tuple(pieces), tuple(sizes), closed=False)


class Infill:
    """One such request while it runs; `start` once, then chunks of its tasks come in through `_collect`."""

    def __init__(
        self,
        params: GenerationParams,
        text: Text,
        tokenizer: Tokenizer,
        *,
        mask_token_id: int,
        submit: Callable[[Task], None],
        cancel: Callable[[Task], None],
        post: Callable[[Callable[[Chunk], None], Chunk], None],
        deliver: Callable[[Chunk], None],
        deadline: float | None,
    ) -> None:
        """Tie it to the runtime.

        Args:
            submit, cancel: the scheduler's.
            post: hands a chunk to a function on the sender's thread, which is where all of this runs but `start`.
            deliver: takes the one chunk that this request is answered with.
        """
        self._params, self._text, self._tokenizer = params, text, tokenizer
        self._mask_token_id = mask_token_id
        self._submit, self._cancel, self._post, self._deliver = submit, cancel, post, deliver
        self._deadline = deadline
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._tasks: list[Task] = []
        self._waiting = 0
        self._cancelled = False
        self._over = False
        self._fills: list[str] = []
        self._chosen: list[Task] = []
        self._tried: list[list[_Tried]] = []
        self._counters = Counters()
        self._num_input_tokens = 0

    def start(self) -> None:
        """Submit the first gap's tasks; raises what the scheduler's submit raises."""
        self._tried.append([])
        self._try(self._sizes())

    def cancel(self) -> None:
        """End all tasks; the answer is then a CancelledError unless it was sent."""
        with self._lock:
            self._cancelled = True
            tasks = list(self._tasks)
        for task in tasks:
            self._cancel(task)

    # -- one gap -----------------------------------------------------------------------------------------------------

    def _sizes(self) -> tuple[int, ...]:
        """Return the first sizes to try for the gap at hand."""
        given = self._text.sizes[len(self._fills)]
        if given:
            return given
        limit = self._params.max_tokens
        return (*(size for size in LADDER if size < limit), limit)

    def _left(self) -> str:
        """The text before the gap at hand, what was filled in included."""
        pieces = self._text.pieces
        done = "".join(piece + fill for piece, fill in zip(pieces, self._fills, strict=False))
        return self._text.context + done + pieces[len(self._fills)]

    def _try(self, sizes: Sequence[int]) -> None:
        """Submit one task for each of `sizes`; where one cannot be queued, none is."""
        left, right = self._left(), self._text.pieces[len(self._fills) + 1]
        prompt = self._tokenizer.encode(left) if left else []
        closed = self._text.closed and len(self._fills) + 2 == len(self._text.pieces)
        after = self._right_ids(right, closed)
        search = len(sizes) > 1 or self._params.return_candidates or not self._text.sizes[len(self._fills)]
        tasks = [self._task(prompt, after, size, self._seam(prompt, right, closed) if search else None) for size in sizes]
        with self._lock:
            self._tasks, self._waiting = tasks, len(tasks)
            cancelled = self._cancelled
        for count, task in enumerate(tasks):
            try:
                self._submit(task)
            except TrimodeError:
                with self._lock:
                    self._over = True
                for earlier in tasks[:count]:
                    self._cancel(earlier)
                raise
        if cancelled:  # between two gaps
            self.cancel()

    def _right_ids(self, right: str, closed: bool) -> list[int]:
        ids = self._tokenizer.encode(right[: self._params.block_length * self._tokenizer.longest]) if right else []
        if closed:
            # A model's turn ends with its end token and was trained with more of them up to the block's end.
            ids = ids + [self._params.end_id] * max(0, self._params.block_length - len(ids))
        return ids[: self._params.block_length]

    def _task(self, prompt: list[int], right: list[int], size: int, seam: Callable[[list[int]], Seam] | None) -> Task:
        hole = Hole(size, np.array(right, dtype=np.int64), self._tokenizer.special_ids, seam)
        params = replace(self._params, max_tokens=size)
        sequence = Decoding(params, prompt, self._mask_token_id, hole=hole)
        if not prompt:
            open_window(sequence)
        task = Task(sequence, AnswerText(None, (), at_once=True), deliver=lambda chunk: None, deadline=self._deadline)
        task.deliver = lambda chunk: self._post(lambda one: self._collect(task, one), chunk)
        return task

    def _seam(self, prompt: list[int], right: str, closed: bool) -> Callable[[list[int]], Seam]:
        tokenizer, width = self._tokenizer, self._params.block_length
        start = max(0, len(prompt) - SEAM_TOKENS)
        while start and tokenizer.broken(prompt[start:]):  # never begin inside a character
            start -= 1
        before = tokenizer.decode_all(prompt[start:])
        after = right[: width * tokenizer.longest]

        def around(filled: list[int]) -> Seam:
            ids = tokenizer.encode(before + tokenizer.decode(filled) + after)
            cut = len(tokenizer.encode(before)) + len(filled) + width
            ids = ids[:cut]
            return Seam([*ids, self._params.end_id] if closed and len(ids) < cut else ids, start)

        return around

    # -- results, on the sender's thread -----------------------------------------------------------------------------

    def _collect(self, task: Task, chunk: Chunk) -> None:
        if not chunk.last or self._over:
            return
        self._counters += chunk.counters
        self._num_input_tokens = max(self._num_input_tokens, chunk.num_input_tokens)
        if chunk.error is not None:
            self._fail(chunk.error)
            return
        hole = task.sequence.hole
        assert hole is not None
        self._tried[-1].append(_Tried(hole.size, task, hole.score or 0.0))
        self._waiting -= 1
        if self._waiting:
            return
        try:
            self._go_on()
        except TrimodeError as error:
            self._fail(error)

    def _go_on(self) -> None:
        """All sizes submitted are done: try those between, go to the next gap, or answer."""
        if more := self._between():
            self._try(more)
            return
        best = _best(self._tried[-1])
        self._fills.append(self._filled(best.task))
        self._chosen.append(best.task)
        if len(self._fills) + 1 < len(self._text.pieces):
            self._tried.append([])
            self._try(self._sizes())
            return
        self._over = True
        self._deliver(self._answer())

    def _between(self) -> list[int]:
        """Return the sizes between the best one's neighbours, once, where the request left the size open."""
        around = sorted(one.size for one in self._tried[-1])
        if self._text.sizes[len(self._fills)] or len(around) != len(self._sizes()):
            return []
        best = _best(self._tried[-1])
        near = [pair for pair in pairwise(around) if best.size in pair]
        inside = [size for low, high in near for size in range(low + 1, high)]
        if len(inside) <= REFINED:
            return inside
        return [inside[i * len(inside) // REFINED] for i in range(REFINED)]

    def _filled(self, task: Task) -> str:
        return self._tokenizer.decode_whole(task.sequence.tokens)

    def _answer(self) -> Chunk:
        pieces = self._text.pieces
        whole = pieces[0] + "".join(fill + piece for fill, piece in zip(self._fills, pieces[1:], strict=True))
        return Chunk(
            text="".join(self._fills) if self._params.exclude_input_in_output else whole,
            token_ids=[token for task in self._chosen for token in task.sequence.tokens],
            log_probs=[value for task in self._chosen for value in task.sequence.log_probs],
            finish_reason="stop",
            counters=self._counters,
            num_input_tokens=self._num_input_tokens,
            seconds=time.monotonic() - self._started,
            fills=list(self._fills),
            candidates=[
                [Candidate(one.size, self._filled(one.task), one.task.sequence.hole.score) for one in gap if one.task.sequence.hole]
                for gap in self._tried
            ] if self._params.return_candidates else [],
        )

    def _fail(self, error: TrimodeError) -> None:
        self._over = True
        with self._lock:
            tasks = list(self._tasks)
        for task in tasks:
            self._cancel(task)
        self._deliver(Chunk(error=error, counters=self._counters, seconds=time.monotonic() - self._started))

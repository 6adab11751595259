"""A request to fill gaps in a text: gap after gap, each tried in several sizes at once, the likeliest text kept.

Composes jobs; each size of a gap is a sequence of its own in the scheduler, among all others. Where the size is open,
what the model writes from left to right without the right side is tried too, up to where it meets the right side.
Knows nothing of engines; how one gap of known size is filled is in decoding/modes/infill.py.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace

from ..api.answer import Chunk
from ..api.counters import Counters
from ..api.fields import Mode
from ..decoding.guide import NoTokenError
from ..decoding.sequence import SequenceState
from ..errors import CancelledError, PromptTooLongError, TrimodeError, engine_failure
from ..logs.request_id import named
from ..scheduling.job import Job
from .gap_guides import GapGuides
from .gap_jobs import GapJobs
from .gap_search import MEETING_TOKENS, MOST_RETURNS, Filling, GapSearch
from .gapped_text import GappedText
from .request import Handle, Request
from .seams import GapContext, Start
from .services import Services

logger = logging.getLogger(__name__)


def start(request: Request, services: Services) -> Handle:
    """Queue the first gap's jobs; see registry.start."""
    running = InfillRequest(request, services)
    running.start()
    return Handle(request.params, running.cancel)


class InfillRequest:
    """One such request while it runs.

    `start` and `cancel` may be called from any thread; everything else runs on the sender's, which takes one chunk
    after another, so that the request is answered exactly once.
    """

    def __init__(self, request: Request, services: Services) -> None:
        """Read the text and its gaps.

        Raises:
            RequestError: text, gaps and one block do not fit the capacity, the chat template refuses the messages, or
                what must match is refused.
            EngineError: the process that tries grammars failed.
        """
        self._request, self._services, self._params = request, services, request.params
        self._tokenizer = services.tokenizer_for(request.params.prompt.field)
        self._text = GappedText.of(request.params, self._tokenizer)
        self._capacity = services.capacity - request.pictures.extra  # for what is not a picture
        known = self._text.check(request.params, self._tokenizer, self._capacity)
        self._known_tokens = known + request.pictures.extra
        self._lock = threading.Lock()  # guards the next two
        self._jobs: list[Job] = []
        self._cancelled = False
        self._started = request.arrived
        self._begun = False  # whether a job was queued
        self._waiting = 0  # jobs of the current gap that are not done
        self._answered = False
        self._made = GapJobs(request, services, self, self._collect)
        self._guides = GapGuides.of(request.params, self._text, services)
        self._doubted: set[int] = set()  # gaps for which no filling was known, and the model was asked all the same
        self._returns = 0  # how often a gap was filled otherwise for the sake of a later one
        self._gaps: list[GapSearch] = []
        self._fills: list[str] = []
        self._counters = Counters()

    def start(self) -> None:
        """Queue the first gap's jobs; raises what the queue's submit raises, and then nothing was queued."""
        self._open_gap()

    def cancel(self) -> None:
        """End all jobs; the answer is then a CancelledError unless it was sent."""
        with self._lock:
            self._cancelled = True
            jobs = list(self._jobs)
        for job in jobs:
            self._services.queue.cancel(job)

    def _open_gap(self) -> None:
        """Go to the next gap: read what stands around it and queue its first sizes."""
        at = len(self._fills)
        last = at + 1 == len(self._text.sizes)
        end_id = self._params.end_id if self._text.closed and last else None
        left, right = self._text.left(self._fills), self._text.pieces[at + 1]
        block, capacity = self._params.block.block_length, self._capacity
        context = GapContext(
            self._tokenizer, left, right, block=block, end_id=end_id, capacity=capacity, marked=self._text.marked
        )
        guide = None if self._guides is None else self._guides.after(self._fills)
        gap = GapSearch.of(context, self._text.sizes[at], self._params.max_tokens, guide)
        self._gaps.append(gap)
        if guide is not None and guide.doubtful:
            if at in self._doubted:
                self._go_back()
                return
            self._doubted.add(at)
        largest = max(gap.sizes)
        self._check_room(largest)
        if gap.open:
            room = capacity - len(context.starts[-1].prompt) - block
            most = min(largest + MEETING_TOKENS, room)
            continuations = [
                self._made.continuation(gap, start, most) for start in context.starts if start.prompt and context.right
            ]
            self._queue([*continuations, *(self._made.filling(gap, context.starts[0], size) for size in gap.sizes)])
        else:  # a token that was taken back may come again, or be one with the gap's first
            sizes = gap.sizes
            pairs = [(start, sorted({*sizes, *(size + start.tokens for size in sizes)})) for start in context.starts]
            self._queue([self._made.filling(gap, start, size) for start, own in pairs for size in own])

    def _check_room(self, size: int) -> None:
        """Raise if a gap of `size` does not fit; the fillings of earlier gaps may have taken more tokens."""
        prompt, block = len(self._gaps[-1].context.starts[-1].prompt), self._params.block.block_length
        capacity = self._capacity
        if prompt + size + block > capacity:
            limit = f"must leave room for a gap of {size} and a block of {block} in {capacity} tokens"
            raise PromptTooLongError(self._params.prompt.field, limit, f"{prompt} tokens")

    def _queue(self, jobs: list[Job]) -> None:
        """Queue `jobs`, all or none."""
        with self._lock:
            if self._cancelled:
                raise CancelledError()
            self._jobs += jobs
        self._waiting += len(jobs)
        ahead = [job for job in jobs if not job.sequence.done]
        if ahead:
            self._services.queue.submit(*ahead, begun=self._begun)
            self._begun = True
        for job in jobs:
            if job not in ahead:  # nothing stands before it, and nothing was left to choose
                job.deliver(Chunk(finish_reason="stop", counters=job.sequence.counters))

    def _collect(self, seq: SequenceState, start: Start, chunk: Chunk) -> None:
        """Take in a job's only chunk; answer when it was the last that was needed, or when it failed."""
        if self._answered:
            return
        self._counters += chunk.counters
        try:
            if chunk.error is not None and not (seq.infill is None and isinstance(chunk.error, NoTokenError)):
                raise chunk.error
            answer = self._advance(seq, start)
        except TrimodeError as error:
            answer = Chunk(error=error)
        except Exception as exc:
            logger.exception("a gap could not be filled", extra=named(self._request.sender.name))
            answer = Chunk(error=engine_failure("a gap could not be filled", exc))
        if answer is None:
            return
        self._answered = True
        if answer.error is not None:
            self.cancel()  # what else runs
        pictures = self._request.pictures.tokens
        answer.counters = replace(self._counters, output_tokens=len(answer.token_ids), image_tokens=pictures)
        answer.num_input_tokens = self._known_tokens
        answer.seconds = time.monotonic() - self._started
        self._request.sink(answer)

    def _advance(self, seq: SequenceState, start: Start) -> Chunk | None:
        """Record finished jobs; after the last one try more sizes, go to the next gap, or return the answer."""
        gap, state = self._gaps[-1], seq.infill
        if state is None:
            self._score_continuation(seq, start)
        elif state.reading is not None:
            mode = Mode.DIFFUSION if state.given is None else Mode.AUTOREGRESSIVE
            reading = state.reading
            gap.tried.append(Filling(mode, seq.tokens, seq.log_probs, reading.text, state.score, reading.worth))
        self._waiting -= 1
        if self._waiting:
            return None
        if not gap.left:
            if jobs := self._made.last_hope(gap):
                self._queue(jobs)
                return None
            self._go_back()
            return None
        if sizes := gap.next_sizes():
            self._queue([self._made.filling(gap, gap.context.starts[0], size) for size in sizes])
            return None
        self._fills.append(gap.best.text)
        if len(self._fills) < len(self._text.sizes):
            self._open_gap()
            return None
        return self._answer()

    def _go_back(self) -> None:
        """Fill the gap before otherwise, since nothing that matches was found after its filling.

        Raises:
            RequestError: there is no gap before, or no other filling of it.
        """
        assert self._guides is not None  # without, whatever fills a gap is right
        failed = len(self._gaps) - 1
        while self._guides.whole and len(self._gaps) > 1 and self._returns < MOST_RETURNS:
            self._gaps.pop()
            self._returns += 1
            before = self._gaps[-1]
            before.refused.add(self._fills.pop())
            if before.left:
                self._fills.append(before.best.text)
                return self._open_gap()
            if not before.begins_otherwise:
                before.begins_otherwise = True
                start = before.context.starts[-1]
                return self._queue([self._made.filling(before, start, size) for size in before.small_sizes])
        raise self._guides.none_found(failed, max(self._gaps[-1].sizes))

    def _score_continuation(self, seq: SequenceState, start: Start) -> None:
        """Score what a continuation wrote, up to where it meets the right side, as one more filling.

        A continuation that meets it only beyond the largest size is no filling; if no text follows, it is cut there.
        """
        gap = self._gaps[-1]
        kept = [at for at, token in enumerate(seq.tokens) if token not in self._services.banned]
        tokens = gap.context.meet(start, [seq.tokens[at] for at in kept], most=max(gap.sizes))
        if tokens:
            log_probs = [seq.log_probs[at] for at in kept[: len(tokens)]] if seq.log_probs else []
            self._queue([self._made.filling(gap, start, len(tokens), tokens, log_probs)])

    def _answer(self) -> Chunk:
        kept, returns = [gap.best for gap in self._gaps], self._params.returns
        return Chunk(
            text="".join(self._fills) if returns.exclude_input_in_output else self._text.whole(self._fills),
            token_ids=[token for one in kept for token in one.tokens],
            log_probs=[value for one in kept for value in one.log_probs],
            finish_reason="stop",
            fills=list(self._fills),
            candidates=[gap.candidates() for gap in self._gaps] if returns.return_candidates else [],
        )

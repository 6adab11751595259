"""A request to fill gaps in a text: gap after gap, each tried in several sizes at once, the likeliest text kept.

Composes jobs; each size of a gap is a sequence of its own in the scheduler, among all others. Where the size is open,
what the model writes from left to right without the right side is tried too, up to where it meets the right side.
Knows nothing of engines; how one gap of known size is filled is in decoding/modes/infill.py.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ..api.answer import Chunk
from ..api.counters import Counters
from ..api.fields import Mode
from ..decoding.infill_state import InfillState
from ..decoding.modes.infill import begin
from ..decoding.sequence import SequenceState
from ..errors import CancelledError, PromptTooLongError, TrimodeError, engine_failure
from ..scheduling.job import Job
from ..text.answer_text import AnswerText
from .gap_search import MEETING_TOKENS, Filling, GapSearch
from .gapped_text import GappedText
from .seams import GapContext, Start
from .services import Handle, Request, Services
from .token_rules import rules_of

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
            RequestError: text, gaps and one block do not fit the capacity, or the chat template refuses the messages.
        """
        self._request, self._services, self._params = request, services, request.params
        self._tokenizer = services.tokenizer_for(request.params.prompt.field)
        self._text = GappedText.of(request.params, self._tokenizer)
        self._known_tokens = self._text.check(request.params, self._tokenizer, services.capacity)
        self._lock = threading.Lock()  # guards the next two
        self._jobs: list[Job] = []
        self._cancelled = False
        self._started, self._deadline = request.arrived, request.deadline
        self._begun = False  # whether a job was queued
        self._waiting = 0  # jobs of the current gap that are not done
        self._answered = False
        self._rules = rules_of(request.params, services)
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
        block, capacity = self._params.block.block_length, self._services.capacity
        context = GapContext(
            self._tokenizer, left, right, block=block, end_id=end_id, capacity=capacity, marked=self._text.marked
        )
        gap = GapSearch.of(context, self._text.sizes[at], self._params.max_tokens)
        self._gaps.append(gap)
        largest = max(gap.sizes)
        self._check_room(largest)
        if gap.open:
            room = capacity - len(context.starts[-1].prompt) - block
            most = min(largest + MEETING_TOKENS, room)
            continuations = [
                self._continuation(start, most) for start in context.starts if start.prompt and context.right
            ]
            self._queue([*continuations, *(self._filling(context.starts[0], size) for size in gap.sizes)])
        else:  # a token that was taken back may come again, or be one with the gap's first
            sizes = gap.sizes
            pairs = [(start, sorted({*sizes, *(size + start.tokens for size in sizes)})) for start in context.starts]
            self._queue([self._filling(start, size) for start, own in pairs for size in own])

    def _check_room(self, size: int) -> None:
        """Raise if a gap of `size` does not fit; the fillings of earlier gaps may have taken more tokens."""
        prompt, block = len(self._gaps[-1].context.starts[-1].prompt), self._params.block.block_length
        capacity = self._services.capacity
        if prompt + size + block > capacity:
            limit = f"must leave room for a gap of {size} and a block of {block} in {capacity} tokens"
            raise PromptTooLongError(self._params.prompt.field, limit, f"{prompt} tokens")

    def _queue(self, jobs: list[Job]) -> None:
        """Queue `jobs`, all or none."""
        with self._lock:
            if self._cancelled:
                raise CancelledError("the request was cancelled")
            self._jobs += jobs
        self._waiting += len(jobs)
        self._services.queue.submit(*jobs, begun=self._begun)
        self._begun = True

    def _filling(self, start: Start, size: int, given: list[int] | None = None, log_probs: Sequence[float] = ()) -> Job:
        """Return the job that fills the gap with `size` tokens, or scores those that are `given`."""
        gap, services = self._gaps[-1], self._services
        state = InfillState(
            size,
            right=np.array(gap.context.right, dtype=np.int64),
            interpret=partial(gap.context.read, start, sizes=() if gap.open else gap.sizes),
            banned=services.banned,
            first_ids=start.heads,
            needs_score=gap.needs_scores or self._params.returns.return_candidates,
            given=given,
        )
        params = replace(self._params, max_tokens=size)
        seq = SequenceState(params, start.prompt, services.mask_token_id, log_probs=list(log_probs), infill=state)
        seq.rules = self._rules
        if not seq.prompt:
            begin(seq)
        return self._job(seq, start)

    def _continuation(self, start: Start, size: int) -> Job:
        """Return the job that goes on from the left side as if there were no right one; drafts make it quick."""
        adapter = self._services.adapter
        block = replace(
            self._params.block,
            threshold=0.0,
            denoise_steps=self._params.block.block_length,
            reveal="threshold",
            draft_adapter=adapter,
        )
        params = replace(self._params, mode=Mode.SELF_SPECULATION, max_tokens=size, block=block)
        mask_token_id = self._services.mask_token_id
        return self._job(SequenceState(params, start.prompt, mask_token_id, adapter, rules=self._rules), start)

    def _job(self, seq: SequenceState, start: Start) -> Job:
        text = AnswerText(None, (), at_once=True)
        deliver = self._services.post(lambda chunk: self._collect(seq, start, chunk))
        return Job(
            seq, text, deliver, deadline=self._deadline, submitted=self._started, owner=self, claim=self._request.claim
        )

    def _collect(self, seq: SequenceState, start: Start, chunk: Chunk) -> None:
        """Take in a job's only chunk; answer when it was the last that was needed, or when it failed."""
        if self._answered:
            return
        self._counters += chunk.counters
        try:
            if chunk.error is not None:
                raise chunk.error
            answer = self._advance(seq, start)
        except TrimodeError as error:
            answer = Chunk(error=error)
        except Exception as exc:
            logger.exception("a gap could not be filled")
            answer = Chunk(error=engine_failure("a gap could not be filled", exc))
        if answer is None:
            return
        self._answered = True
        if answer.error is not None:
            self.cancel()  # what else runs
        answer.counters = replace(self._counters, output_tokens=len(answer.token_ids))
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
        if not gap.tried:  # nothing that began with what was taken back fitted the left side
            self._queue([self._filling(gap.context.starts[-1], size) for size in gap.sizes])
            return None
        if sizes := gap.next_sizes():
            self._queue([self._filling(gap.context.starts[0], size) for size in sizes])
            return None
        self._fills.append(gap.best.text)
        if len(self._fills) < len(self._text.sizes):
            self._open_gap()
            return None
        return self._answer()

    def _score_continuation(self, seq: SequenceState, start: Start) -> None:
        """Score what a continuation wrote, up to where it meets the right side, as one more filling.

        A continuation that meets it only beyond the largest size is no filling; if no text follows, it is cut there.
        """
        gap = self._gaps[-1]
        kept = [at for at, token in enumerate(seq.tokens) if token not in self._services.banned]
        tokens = gap.context.meet(start, [seq.tokens[at] for at in kept], most=max(gap.sizes))
        if tokens:
            log_probs = [seq.log_probs[at] for at in kept[: len(tokens)]] if seq.log_probs else []
            self._queue([self._filling(start, len(tokens), tokens, log_probs)])

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

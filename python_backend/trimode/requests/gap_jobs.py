"""GapJobs: the jobs that fill a gap: with so many tokens, from its left side alone, or as given. Queues nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..api.answer import Chunk
from ..api.fields import Mode
from ..api.params import GenerationParams
from ..decoding.infill_state import InfillState
from ..decoding.modes.infill import begin
from ..decoding.sequence import SequenceState
from ..scheduling.job import Job
from ..text.answer_text import AnswerText
from .gap_search import GapSearch
from .request import Request
from .seams import Start
from .services import Services
from .token_rules import rules_of

Collect = Callable[[SequenceState, Start, Chunk], None]
"""Takes a job's only chunk, on the sender's thread."""


class GapJobs:
    """Makes the jobs of one request."""

    def __init__(self, request: Request, services: Services, owner: object, collect: Collect) -> None:
        """Take the request and its services.

        Args:
            owner: what the jobs belong to, so that they share a turn.

        Raises:
            RequestError: the rules need a tokenizer that is not there.
        """
        self._request, self._services, self._owner, self._collect = request, services, owner, collect
        self._vocab_size = services.tokenizer_for(request.params.prompt.field).vocab_size
        self._params, self._rules = request.params, rules_of(request.params, services)

    def filling(
        self,
        gap: GapSearch,
        start: Start,
        size: int,
        given: list[int] | None = None,
        log_probs: Sequence[float] = (),
    ) -> Job:
        """Return the job that fills the gap with `size` tokens, or scores those that are `given`.

        Args:
            log_probs: of what is given; where they are wanted and not known, the job finds them.
        """
        services = self._services
        state = InfillState(
            size,
            right=np.array(gap.context.right, dtype=np.int64),
            interpret=partial(
                gap.context.read,
                start,
                sizes=() if gap.open else gap.sizes,
                accepts=None if gap.guide is None else gap.guide.accepts,
            ),
            banned=services.banned,
            first_ids=gap.first_ids(start, self._vocab_size),
            needs_score=gap.needs_scores or self._params.returns.return_candidates,
            given=given,
        )
        params = replace(self._params, max_tokens=size)
        seq = self._sequence(params, start, log_probs=list(log_probs), infill=state)
        seq.rules, seq.guide = self._rules, gap.guide_of(start)
        if not seq.prompt:
            begin(seq)
        return self._job(seq, start)

    def continuation(self, gap: GapSearch, start: Start, size: int) -> Job:
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
        seq = self._sequence(params, start, adapter=adapter, rules=self._rules)
        seq.guide = gap.guide_of(start)
        return self._job(seq, start)

    def last_hope(self, gap: GapSearch) -> list[Job]:
        """Return jobs for a gap that nothing fills so far: from the whole left side, then the shortest filling."""
        last, gap.last_hope = gap.context.starts[-1], gap.last_hope + 1
        if gap.last_hope == 1 and len(gap.context.starts) > 1:
            return [self.filling(gap, last, size) for size in gap.sizes]
        tokens = None if gap.guide is None or gap.last_hope > 2 else gap.guide.shortest(max(gap.sizes))
        gap.last_hope = 2
        if tokens is None:
            return []
        return [self.filling(gap, last, len(tokens), tokens)]

    def _sequence(self, params: GenerationParams, start: Start, **state: Any) -> SequenceState:
        """Return a sequence whose prompt is `start`'s, with the request's pictures; `state` are fields of it."""
        pictures = self._request.pictures
        prompt = pictures.placed(start.prompt)
        found = pictures.of_prompt(prompt)
        return SequenceState(params, prompt, self._services.mask_token_id, pictures=found, **state)

    def _job(self, seq: SequenceState, start: Start) -> Job:
        request = self._request
        return Job(
            seq,
            AnswerText(None, (), at_once=True),
            self._services.post(lambda chunk: self._collect(seq, start, chunk)),
            deadline=request.deadline,
            submitted=request.arrived,
            owner=self._owner,
            claim=request.claim,
        )

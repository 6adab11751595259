"""The answer to a request: chunks of committed tokens, and what goes with the last of them.

Knows nothing of how chunks are sent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from ..errors import TrimodeError
from .counters import Counters

FinishReason = Literal["stop", "length"]
"""Why an answer ends: its end token or a stop word came, or it has max_tokens tokens."""
TokenState = Literal["committed", "provisional", "masked"]
"""What a token of a block is while the block is denoised: final, chosen but open to change, or not chosen yet."""


_NULL = "null"

Top = tuple[list[int], list[float]]
"""The likeliest tokens of one place, the likeliest first, and their log-probabilities; the mask token is left out."""


@dataclass(frozen=True)
class PromptLogProbs:
    """How likely a prompt is under the causal model.

    Attributes:
        ids: its tokens.
        log_probs: of each but the first, natural, given those before it.
        top: the likeliest tokens of the same places, if they were asked for.
    """

    ids: list[int]
    log_probs: list[float] = field(default_factory=list)
    top: list[Top] = field(default_factory=list)


@dataclass(frozen=True)
class Decisions:
    """What `auto` chose for a request: cycles by choice, and what they were expected to take.

    Choices are named "autoregressive" and, with the length of the draft, "self_speculation/16"; "prediction" and
    "prompt_lookup" verified a draft of theirs; "diffusion" stands for a whole answer.
    `expected_ms` is the predicted time of all engine calls in those cycles, overhead included;
    other requests share these calls. `expected_tokens` is what all of the cycles were expected to give.
    """

    cycles: dict[str, int]
    expected_ms: float
    expected_tokens: float


@dataclass(frozen=True)
class Candidate:
    """One filling of a gap: its size in tokens, its text and, if it was asked for, its score.

    `size` counts what was chosen, including tokens of the left side that were chosen again. `score` is the mean
    log-probability of its tokens and of those that follow it. `mode` says how it was made: "diffusion" with both sides
    in sight, or "autoregressive" from the left side alone.
    """

    size: int
    mode: str
    text: str
    score: float | None


@dataclass(frozen=True)
class Edit:
    """One change of a revised text: characters start..end of the original, `before`, became `after`."""

    start: int
    end: int
    before: str
    after: str


@dataclass(frozen=True)
class ProvisionalToken:
    """One token of a block that is being denoised: its id and text, and "committed", "provisional" or "masked".

    A masked token has no id, and its text is a placeholder. `prob` is the probability that the model gave the
    token when it was chosen; None where masked, and of the token that a draft starts with.
    """

    id: int | None
    text: str
    state: TokenState
    prob: float | None = None

    @cached_property
    def as_json(self) -> str:
        """It as a JSON object; one token stands in the blocks of many passes, so its JSON is written once."""
        number, prob = _NULL if self.id is None else self.id, _NULL if self.prob is None else self.prob
        return f'{{"id": {number}, "text": {json.dumps(self.text)}, "state": "{self.state}", "prob": {prob}}}'


@dataclass(frozen=True)
class Provisional:
    """A block after one of its passes: where in the answer it starts, passes spent on it, its text and tokens.

    `committed` is what this pass, and those without a block before it, added to the answer's text. Those of all passes
    of a chunk, and what came after the last of them, make the chunk's text.
    """

    start: int
    step: int
    text: str
    tokens: tuple[ProvisionalToken, ...]
    committed: str = ""

    @cached_property
    def as_json(self) -> str:
        """It as a JSON object."""
        text, committed = json.dumps(self.text), json.dumps(self.committed)
        tokens = ", ".join([token.as_json for token in self.tokens])
        head = f'"start": {self.start}, "step": {self.step}, "text": {text}, "tokens": [{tokens}]'
        return f'{{{head}, "committed": {committed}}}'


@dataclass
class Timing:
    """When what happened to a sequence, in seconds of time.monotonic(); None for what did not happen.

    Attributes:
        submitted: it came into the queue.
        admitted: it got a slot.
        first, last: a pass gave its first tokens, and the last ones so far.
        gaps: of each later pass that gave tokens: the seconds since the one before, and how many tokens it gave.
    """

    submitted: float
    admitted: float | None = None
    first: float | None = None
    last: float | None = None
    gaps: list[tuple[float, int]] = field(default_factory=list)

    def gave(self, tokens: int, now: float) -> None:
        """Note that a pass gave so many tokens."""
        if self.last is None:
            self.first = now
        else:
            self.gaps.append((now - self.last, tokens))
        self.last = now

    def as_json(self) -> str:
        """Return how long it took, as a JSON object in milliseconds; null for what did not happen.

        The names are those of vLLM's `metrics`. The mean between tokens is over those that came after the first pass.
        """
        later = sum(tokens for _, tokens in self.gaps)
        spent = {
            "queue_time_ms": _milliseconds(self.submitted, self.admitted),
            "time_to_first_token_ms": _milliseconds(self.submitted, self.first),
            "mean_itl_ms": _milliseconds(self.first, self.last, later) if later else None,
        }
        return json.dumps(spent)


def _milliseconds(start: float | None, end: float | None, parts: int = 1) -> float | None:
    """Return the milliseconds from `start` to `end`, which are in seconds, over `parts`."""
    return None if start is None or end is None else round(1000 * (end - start) / parts, 3)


@dataclass
class Chunk:
    """One piece of a request's answer, sent to its sink; the last one has `finish_reason` or `error`.

    The concatenation of all `text` is the whole answer. Without `stream` there is a single chunk.

    Attributes:
        text: text that became final with this chunk, may be empty.
        token_ids, log_probs: the committed tokens that it comes from; log_probs only when asked for, one per token.
        top: the likeliest tokens of the same places, if they were asked for.
        prompt: how likely the prompt is, if that was asked for; on the first chunk.
            What fills a gap may begin with the end of its left side and end with the beginning of its right one.
        finish_reason: "stop", "length", or None while more follows.
        error: set instead of a finish_reason when the request failed; then nothing follows.
        counters, num_input_tokens, seconds: on the last chunk.
        timing: of the sequence; on the last chunk, unless the answer comes from several sequences.
        fills: when gaps were filled, the text of each; on the last chunk.
        candidates: for each gap, every size that was tried; on the last chunk.
        edits: what a revision changed, left to right; on the last chunk.
        auto: what was chosen for it, when the mode was left open; on the last chunk.
        passes: the block after each denoising pass that this chunk comes from, when that was asked for; no part of
            `text`.
    """

    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    top: list[Top] = field(default_factory=list)
    prompt: PromptLogProbs | None = None
    finish_reason: FinishReason | None = None
    error: TrimodeError | None = None
    num_input_tokens: int = 0
    counters: Counters = field(default_factory=Counters)
    seconds: float = 0.0
    timing: Timing | None = None
    fills: list[str] = field(default_factory=list)
    candidates: list[list[Candidate]] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    auto: Decisions | None = None
    passes: tuple[Provisional, ...] = ()

    @property
    def last(self) -> bool:
        """Whether nothing follows this chunk."""
        return self.finish_reason is not None or self.error is not None

"""What a request gives back: chunks of committed tokens, and the counters of what they cost.

Numbers are data here; who prints or sends them is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from ..errors import TrimodeError


@dataclass
class Counters:
    """Passes by purpose and drafts by fate, of one request.

    `forwards` counts every pass after the prefill; `cycles` counts a draft and its verification once (so that
    tokens_per_cycle is the acceptance length papers report, but for the first token, which the prefill gives), a
    denoised block once per pass, a decode step and a pass that scores a text once. With revise_rounds diffusion's
    score_forwards also keep the block in the cache; commit_forwards are then those of blocks whose change was refused.
    A request to fill gaps counts the
    passes of every size that it tried.
    `cached_tokens` are those of the prompt that were known from an earlier one and not read again.
    Draft tokens: block_length - 1 per cycle; accepted are those the verification confirmed (the bonus token that each
    verification adds is not a draft token).
    """

    prefill_forwards: int = 0
    decode_forwards: int = 0
    draft_forwards: int = 0
    denoise_forwards: int = 0
    verify_forwards: int = 0
    commit_forwards: int = 0
    score_forwards: int = 0
    total_draft_tokens: int = 0
    total_accepted_draft_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Counters) -> Counters:
        """Return the sums, counter by counter."""
        return Counters(**{name: value + getattr(other, name) for name, value in asdict(self).items()})

    @property
    def forwards(self) -> int:
        """Every pass after the prefill."""
        return (
            self.decode_forwards
            + self.draft_forwards
            + self.denoise_forwards
            + self.verify_forwards
            + self.commit_forwards
            + self.score_forwards
        )

    @property
    def cycles(self) -> int:
        """Passes after the prefill, a draft with its verification counted once."""
        return self.forwards - self.draft_forwards

    @property
    def tokens_per_forward(self) -> float:
        """Output tokens over `forwards`; 0 when there was none."""
        return self.output_tokens / self.forwards if self.forwards else 0.0

    @property
    def tokens_per_cycle(self) -> float:
        """Output tokens over `cycles`; 0 when there was none."""
        return self.output_tokens / self.cycles if self.cycles else 0.0

    @property
    def acceptance_rate(self) -> float:
        """Share of draft tokens that verification confirmed; 0 when nothing was drafted."""
        return self.total_accepted_draft_tokens / self.total_draft_tokens if self.total_draft_tokens else 0.0

    def as_dict(self) -> dict[str, int | float]:
        """Return every counter and ratio by its name on the wire."""
        ratios = ("forwards", "tokens_per_forward", "tokens_per_cycle", "acceptance_rate")
        return {**asdict(self), **{name: getattr(self, name) for name in ratios}}


@dataclass(frozen=True)
class Decisions:
    """What `auto` chose for a request: cycles by choice, and what they were expected to take.

    Choices are named "autoregressive" and, with the length of the draft, "self_speculation/16"; "diffusion" stands for
    a whole answer. `expected_ms` is of all the engine calls of those cycles, with what is done around them,
    which other requests share, and `expected_tokens` is what all of the cycles were expected to give.
    """

    cycles: dict[str, int]
    expected_ms: float
    expected_tokens: float


@dataclass(frozen=True)
class Candidate:
    """One filling of a gap: its size in tokens, its text, and how likely it and what follows is, if that was asked.

    `size` counts what was chosen, tokens of the left side that were chosen anew included. `score` is the mean
    log-probability of a token. `mode` says how it was made: "diffusion" with both sides in sight, or "autoregressive"
    from the left one.
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

    A masked token has no id, and a placeholder for a text.
    """

    id: int | None
    text: str
    state: str


@dataclass(frozen=True)
class Provisional:
    """A block after one of its passes: where in the answer it starts, passes spent on it, its text and tokens."""

    start: int
    step: int
    text: str
    tokens: tuple[ProvisionalToken, ...]


@dataclass
class Chunk:
    """One piece of a request's answer, sent to its sink; the last one has `finish_reason` or `error`.

    The concatenation of all `text` is the whole answer. Without `stream` there is a single chunk.

    Attributes:
        text: text that became final with this chunk, may be empty.
        token_ids, log_probs: the committed tokens behind it; log_probs only when asked for, one per token. Those that
            fill a gap may begin with the end of its left side and end with the beginning of its right one.
        finish_reason: "stop", "length", or None while more follows.
        error: set instead of a finish_reason when the request failed; then nothing follows.
        counters, num_input_tokens, seconds: on the last chunk.
        fills: when gaps were filled, the text of each; on the last chunk.
        candidates: for each gap, every size that was tried; on the last chunk.
        edits: what a revision changed, left to right; on the last chunk.
        auto: what was chosen for it, when the mode was left open; on the last chunk.
        provisional: the block after the pass that this chunk comes from, when that was asked for; no part of `text`.
    """

    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    finish_reason: str | None = None
    error: TrimodeError | None = None
    num_input_tokens: int = 0
    counters: Counters = field(default_factory=Counters)
    seconds: float = 0.0
    fills: list[str] = field(default_factory=list)
    candidates: list[list[Candidate]] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    auto: Decisions | None = None
    provisional: Provisional | None = None

    @property
    def last(self) -> bool:
        """Whether nothing follows this chunk."""
        return self.finish_reason is not None or self.error is not None

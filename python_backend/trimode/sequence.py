"""Sequence: one request while it is decoded: its tokens, its phase, the block at hand, its counters.

All changes of state are its methods. Knows nothing of engines, text or time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np
import numpy.typing as npt

from .acceptance import Acceptance, Prior
from .fields import Mode
from .output import Counters, Decisions
from .params import GenerationParams


class Phase(Enum):
    """What the next pass of a sequence is for."""

    PREFILL = auto()
    DECODE = auto()
    DENOISE = auto()
    COMMIT = auto()
    SCORE = auto()
    DRAFT = auto()
    VERIFY = auto()
    DONE = auto()


@dataclass
class Block:
    """The block of tokens being refined, its first token already right.

    Attributes:
        start: position of its first token; what the slot holds before it is what the block sees beside itself.
        tokens: (L,) int64, mask ids where nothing is decided.
        open: (L,) bool, positions still to be filled.
        unrevealed: how many positions the steps left must still fill.
        step: passes spent on it.
        log_probs: (L,) float32, log-probability of each token at the moment it was kept.
        review: what the block was before unlikely tokens of it were masked again, if that happened.
    """

    start: int
    tokens: npt.NDArray[np.int64]
    open: npt.NDArray[np.bool_]
    unrevealed: int
    step: int
    log_probs: npt.NDArray[np.float32]
    review: Review | None = None


@dataclass(frozen=True)
class Review:
    """A filled block that is being reconsidered, as it was.

    Attributes:
        rounds: how often that has happened to it, this time included.
        mean: mean log-probability of its tokens but the first under the causal model.
        tokens: (L,) int64; log_probs: (L,) float32.
    """

    rounds: int
    mean: float
    tokens: npt.NDArray[np.int64]
    log_probs: npt.NDArray[np.float32]


@dataclass
class Hole:
    """A gap of known size behind the prompt that is filled with its right side in sight.

    Attributes:
        size: tokens to fill.
        right: (R,) int64, the tokens that follow the gap; as many as fit are seen.
        banned: ids that must not fill it beside the mask id: special tokens.
        heads: (A,) int64, ids of which its first token must be one; None if it may be any.
        read: from the tokens that fill the gap to the texts that they may stand for; the likeliest is taken, and no
            text at all means that they cannot be taken.
        judged: whether a score is wanted even if there is one reading alone.
        given: what fills the gap when that is known and only to be scored.
        reading: the text that was taken; score: the mean log-probability of it and of what follows under the causal
            model, if it was scored and there is anything to score.
        left: readings still to be scored; scored: (M,) int64, the text of the one at hand; log_probs: of its tokens,
            as far as they are known.
    """

    size: int
    right: npt.NDArray[np.int64]
    read: Callable[[list[int]], list[Reading]]
    banned: tuple[int, ...] = ()
    heads: npt.NDArray[np.int64] | None = None
    judged: bool = False
    given: list[int] | None = None
    reading: Reading | None = None
    score: float | None = None
    left: list[Reading] = field(default_factory=list)
    scored: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    log_probs: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Reading:
    """One text that a gap's tokens may stand for.

    Attributes:
        text: what fills the gap.
        ids: (M,) the text up to about a block after it, as a tokenizer writes it.
        first: the position from which on tokens hold something of the gap or of what follows it: these are scored.
        worth: a text that is worth more is taken before a likelier one.
    """

    text: str
    ids: list[int]
    first: int
    worth: int = 1


@dataclass
class Revision:
    """A text that is reconsidered, and how far that is.

    Attributes:
        ids: (M,) int64, context and text; replaced when a change is kept.
        allowed: (M,) bool, tokens that may be reconsidered.
        only: for those that hold something to be kept, by position, the ids (A,) int64 that hold it too.
        threshold: those of a log-probability below it are; fraction: or this share, the least likely; neither: all.
        rounds: most times the text is gone through; a round without a change is the last.
        always: keep every change, not only one that makes its block likelier.
        banned: ids that are never put in: special tokens. filler: what stands behind the text's end in a window.
        log_probs: (M,) float64, of each token behind those before it; not a number where unknown.
        picked: what this round reconsiders, None before it is known; at: where in the text the round is.
        window: the block at hand: its first picked position, its end, and from where the next one may pick.
        until: up to where the causal pass at hand goes; tried, judged: the text with a change, and its log_probs.
    """

    ids: npt.NDArray[np.int64]
    allowed: npt.NDArray[np.bool_]
    threshold: float | None
    fraction: float | None
    rounds: int
    always: bool
    banned: tuple[int, ...]
    filler: int
    only: Mapping[int, npt.NDArray[np.int64]] = field(default_factory=dict)
    log_probs: npt.NDArray[np.float64] = field(init=False)
    round: int = 0
    picked: npt.NDArray[np.int64] | None = None
    changed: bool = False
    at: int = 0
    window: tuple[int, int, int] = (0, 0, 0)
    until: int = 0
    tried: npt.NDArray[np.int64] = field(init=False)
    judged: npt.NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.log_probs = np.full(len(self.ids), np.nan)


@dataclass
class Steering:
    """What `auto` knows and has done of one request.

    Attributes:
        prior: what is known of requests like it.
        drafts, gain: length of the drafts chosen for it, 0 for token by token; tokens that a cycle of this should give.
        quiet, patience: tokens decoded one by one since the last draft, and how many until drafting is tried again.
        cycles: cycles by choice, such as "self_speculation/16".
        runs: tokens that its next cycle should give, by length of draft; runs_at: the verifications and the stretch of
            the answer that this was worked out for.
        expected_seconds, expected_tokens: what all of them were expected to take and to give; for diffusion, a block.
    """

    prior: Prior
    drafts: int = 0
    gain: float = 1.0
    quiet: int = 0
    patience: int = 0
    cycles: dict[str, int] = field(default_factory=dict)
    runs: list[float] = field(default_factory=list)
    runs_at: tuple[float, int] | None = None
    expected_seconds: float = 0.0
    expected_tokens: float = 0.0


@dataclass
class Sequence:
    """One request's decoding state.

    Attributes:
        prompt: token ids of the prompt.
        mask_token_id: what stands in undecided positions.
        adapter: whether drafts run with the draft adapter.
        tokens, log_probs: what was committed, in order; log_probs only when the request asked for them.
        cached: how many leading positions of prompt + tokens have their keys and values in the slot.
        finish_reason: set when done: "stop" or "length".
        revision: what is to be reconsidered, when the request is that; `tokens` are then the text's, at the end.
        hole: what is to be filled, when the request is an infill; `tokens` are then what fills it.
        mode, block_length: how the next cycle is decoded; the request's own, unless that is left to `auto`.
        seen: what its drafts and blocks were worth so far. steering: what `auto` does with it, if the mode is open.
    """

    params: GenerationParams
    prompt: list[int]
    mask_token_id: int
    adapter: bool = False
    slot: int = -1
    phase: Phase = Phase.PREFILL
    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    cached: int = 0
    block: Block | None = None
    counters: Counters = field(default_factory=Counters)
    finish_reason: str | None = None
    hole: Hole | None = None
    revision: Revision | None = None
    mode: Mode = field(init=False)
    block_length: int = field(init=False)
    seen: Acceptance = field(default_factory=Acceptance)
    steering: Steering | None = None

    def __post_init__(self) -> None:
        """Start with what the request says; a request that leaves the mode open starts token by token."""
        self.mode = Mode.AUTOREGRESSIVE if self.params.mode is Mode.AUTO else self.params.mode
        self.block_length = self.params.block_length

    @property
    def steered(self) -> bool:
        """Whether its mode may be chosen anew: the request leaves it open, and it stands between two cycles."""
        if self.params.mode is not Mode.AUTO:
            return False
        return self.phase is Phase.DECODE or (self.phase in (Phase.DRAFT, Phase.VERIFY) and self.current.step == 0)

    @property
    def length(self) -> int:
        """Tokens of prompt and answer so far."""
        return len(self.prompt) + len(self.tokens)

    def told(self) -> Decisions | None:
        """Return what a client may know of auto's choices; None where the mode was not open."""
        if self.steering is None:
            return None
        blocks = -(-len(self.tokens) // self.block_length) if self.mode is Mode.DIFFUSION else 1
        state = self.steering
        return Decisions(
            dict(state.cycles),
            round(1000 * blocks * state.expected_seconds, 3),
            round(blocks * state.expected_tokens, 3),
        )

    @property
    def remaining(self) -> int:
        """Tokens that may still be committed."""
        return self.params.max_tokens - len(self.tokens)

    @property
    def unread(self) -> int:
        """Tokens of the prompt, or of a text to be scored, that still have to go through the model."""
        if self.phase is Phase.PREFILL:
            return len(self.prompt) - self.cached
        if self.phase is not Phase.SCORE:
            return 0
        if self.hole is not None:
            return max(len(self.hole.scored) - 1 - self.cached, 0)  # what follows the last token is not asked
        assert self.revision is not None
        return self.revision.until - self.cached

    @property
    def done(self) -> bool:
        """Whether no further pass is needed."""
        return self.phase is Phase.DONE

    @property
    def current(self) -> Block:
        """The block at hand; there must be one."""
        assert self.block is not None
        return self.block

    def turn(self, mode: Mode, block_length: int) -> None:
        """Decode the next cycle in another way; what is committed and cached stays as it is."""
        assert self.steered
        self.mode, self.block_length = mode, block_length

    def forced_at(self, index: int, ahead: tuple[int, ...] = ()) -> int | None:
        """Return the token that generated position `index` must hold, or None.

        The thinking budget forces the end of thinking at position max_thinking_tokens unless it came before; `ahead`
        are tokens decided after `tokens` and before `index`.
        """
        budget, end_think = self.params.max_thinking_tokens, self.params.end_think_token_id
        if budget is None or index != budget or end_think in self.tokens or end_think in ahead:
            return None
        return end_think

    def forced_in_block(self, base: int, seed: int) -> dict[int, int]:
        """Return where the thinking budget puts the end of thinking in the block that starts at `base` with `seed`.

        A seed that ends thinking makes it needless, which the reference does not see. Where the model ends thinking by
        itself earlier in the same block, it stands there twice.
        """
        budget, end_think = self.params.max_thinking_tokens, self.params.end_think_token_id
        if budget is None or end_think is None or end_think in self.tokens:
            return {}
        if seed == end_think and not self.params.reference:
            return {}
        offset = max(0, budget - base)
        return {offset: end_think} if offset < self.block_length else {}

    def cache(self, count: int) -> None:
        """Record that `count` more positions have their keys and values in the slot."""
        self.cached += count
        assert self.cached <= self.length

    def read(self, count: int) -> None:
        """Record that the slot holds the first `count` tokens of the text that is scored, and no more that is right."""
        self.cached = count

    def commit(self, tokens: list[int], log_probs: list[float]) -> list[int]:
        """Append final tokens up to the end token or the limit, and finish there; return those appended."""
        room = self.remaining
        taken = tokens[:room]
        if self.params.end_id in taken:
            taken = taken[: taken.index(self.params.end_id) + 1]
            self.finish("stop")
        elif len(taken) == room:
            self.finish("length")
        self.tokens += taken
        if self.params.return_log_probs:
            self.log_probs += log_probs[: len(taken)]
        self.counters.output_tokens = len(self.tokens)
        return taken

    def finish(self, reason: str) -> None:
        """Record why the answer ends; no further pass is needed."""
        self.finish_reason = reason
        self.phase = Phase.DONE

    def cut(self, count: int) -> None:
        """Forget all but the first `count` tokens: a stop word ended the answer inside a committed run."""
        del self.tokens[count:]
        del self.log_probs[count:]
        self.counters.output_tokens = count

    def open_block(self, seed: int, forced: dict[int, int], last: int) -> None:
        """Start a block: `seed` at offset 0, `forced` offsets fixed, the offsets from `last` on never filled.

        Those from `last` on are beyond the request's limit: they stay masks so that the block keeps its width.
        """
        length = self.block_length
        tokens = np.full(length, self.mask_token_id, dtype=np.int64)  # (L,)
        tokens[0] = seed
        is_open = np.arange(length) < last
        # Only in reference mode can the seed be the mask id; the reference then fills it like any masked position.
        is_open[0] = seed == self.mask_token_id
        for offset, token in forced.items():
            tokens[offset] = token
            is_open[offset] = False
        log_probs = np.zeros(length, dtype=np.float32)
        self.block = Block(self.cached, tokens, is_open, int(is_open.sum()), 0, log_probs)

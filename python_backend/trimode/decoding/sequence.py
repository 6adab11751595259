"""SequenceState: one request while it is decoded: its tokens, its phase, its current block, its counters.

All changes of state are its methods. Knows nothing of engines, text, time, or of how a mode is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np
import numpy.typing as npt

from ..api.answer import FinishReason, PromptLogProbs, Top
from ..api.counters import Counters
from ..api.fields import Mode
from ..api.params import GenerationParams
from ..vision.encoded import PromptPictures
from .block import Block
from .free_drafts.drafts import FreeDrafts
from .guide import Guide, follow
from .infill_state import InfillState
from .quadratic_shape import QuadraticShape
from .revise_state import ReviseState
from .rules.base import LogitRule


class Phase(Enum):
    """What the next pass of a sequence is for: VERIFY judges a draft, REVIEW a filled block or a changed text."""

    PREFILL = auto()
    DECODE = auto()
    DENOISE = auto()
    COMMIT = auto()
    SCORE = auto()
    DRAFT = auto()
    VERIFY = auto()
    REVIEW = auto()
    DONE = auto()


@dataclass(eq=False)
class SequenceState:
    """One request's decoding state, compared by identity.

    Attributes:
        prompt: token ids of the prompt; pictures: those that stand in it, None for none.
        mask_token_id: what stands in undecided positions. adapter: whether drafts run with the draft adapter.
        tokens, log_probs: what was committed, in order; log_probs only when the request asked for them.
        tops: the likeliest tokens by place in the answer, if they were asked for; those of places that are not
            committed are not final.
        prompt_log_probs: how likely the prompt is, as far as it was read, if that was asked for.
        cached: how many leading positions of prompt + tokens have their keys and values in the slot.
        finish_reason: set when done: "stop" or "length".
        infill: the gap to fill, when the request is that; `tokens` are then what fills it.
        revise: the text to reconsider, when the request is that; `tokens` are then the text's, at the end.
        rules: what changes logits before a token is chosen from them, in this order.
        guide: what the answer must match; it stands where `tokens` end.
        free_drafts: drafts that no pass makes, where the request asks for them.
        mode, block_length: how the next cycle is decoded; the request's own, unless that is left to `auto`.
        shape: of the passes that verify a draft and make the next one; None where drafts have passes of their own.
    """

    params: GenerationParams
    prompt: list[int]
    mask_token_id: int
    adapter: bool = False
    slot: int = -1
    phase: Phase = Phase.PREFILL
    tokens: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    tops: dict[int, Top] = field(default_factory=dict)
    prompt_log_probs: PromptLogProbs | None = None
    cached: int = 0
    block: Block | None = None
    counters: Counters = field(default_factory=Counters)
    finish_reason: FinishReason | None = None
    infill: InfillState | None = None
    revise: ReviseState | None = None
    rules: tuple[LogitRule, ...] = ()
    guide: Guide | None = None
    free_drafts: FreeDrafts | None = None
    pictures: PromptPictures | None = None
    mode: Mode = field(init=False)
    block_length: int = field(init=False)
    shape: QuadraticShape | None = None

    def __post_init__(self) -> None:
        """Start with the request's values; a request in mode auto starts token by token."""
        self.mode = Mode.AUTOREGRESSIVE if self.params.mode is Mode.AUTO else self.params.mode
        self.block_length = self.params.block.block_length
        if self.params.block.speculation == "quadratic":
            self.shape = QuadraticShape.official(self.block_length)
        if self.params.returns.return_prompt_log_probs:
            self.prompt_log_probs = PromptLogProbs(self.prompt)

    @property
    def single(self) -> bool:
        """Whether all of its passes are of single tokens, as its mode stands."""
        return self.mode is Mode.AUTOREGRESSIVE and self.free_drafts is None

    @property
    def between_cycles(self) -> bool:
        """Whether its next pass begins a cycle, so that the mode may change: a single token, or a draft."""
        return self.begins_cycle and self.length - self.cached == 1  # more where a guide dictated some

    @property
    def begins_cycle(self) -> bool:
        """Whether its next pass begins a cycle, over one token or several that are not cached."""
        begins_draft = self.phase in (Phase.DRAFT, Phase.VERIFY) and self.current.step == 0
        return self.phase is Phase.DECODE or begins_draft

    @property
    def length(self) -> int:
        """Tokens of prompt and answer so far."""
        return len(self.prompt) + len(self.tokens)

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
        if self.infill is not None:
            return max(len(self.infill.scored) - 1 - self.cached, 0)  # what follows the last token is not asked
        assert self.revise is not None
        return self.revise.score_end - self.cached

    @property
    def done(self) -> bool:
        """Whether no further pass is needed."""
        return self.phase is Phase.DONE

    @property
    def current(self) -> Block:
        """The block that is being refined; there must be one."""
        assert self.block is not None
        return self.block

    def switch(self, mode: Mode, block_length: int, shape: QuadraticShape | None = None) -> None:
        """Decode the next cycle in another way, or all from the prompt on; what is committed and cached stays."""
        assert self.between_cycles or self.phase is Phase.PREFILL
        self.mode, self.block_length, self.shape = mode, block_length, shape

    def diffuse(self) -> None:
        """Decode the whole answer by diffusion, as a request in mode auto may allow; before the first pass only."""
        assert self.phase is Phase.PREFILL
        self.params = self.params.diffusing()
        self.mode = Mode.DIFFUSION

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
        itself earlier in the same block, the block holds it twice.
        """
        budget, end_think = self.params.max_thinking_tokens, self.params.end_think_token_id
        if budget is None or end_think is None or end_think in self.tokens:
            return {}
        if seed == end_think and not self.params.reference:
            return {}
        offset = max(0, budget - base)
        return {offset: end_think} if offset < self.block_length else {}

    def mark_cached(self, count: int) -> None:
        """Record that `count` more positions have their keys and values in the slot."""
        self.cached += count
        assert self.cached <= self.length

    def set_cached(self, count: int) -> None:
        """Record that of the text that is scored the slot holds the first `count` tokens, and nothing valid after."""
        self.cached = count

    def commit(self, tokens: list[int], log_probs: list[float]) -> list[int]:
        """Append final tokens up to the end token or the limit, and finish there; return those appended.

        An answer that a guide holds ends where nothing may follow, and is complete at the limit if it is whole there.
        """
        room = self.remaining
        taken = tokens[:room]
        end = next((at for at, token in enumerate(taken) if self.params.is_end(token)), None)
        if end is not None:
            taken = taken[: end + 1]
        if self.guide is not None:
            end = follow(self.guide, taken, end)
            taken = taken if end is None else taken[: end + 1]
        if end is not None:
            self.finish("stop")
        elif len(taken) == room:
            self.finish("stop" if self.guide is not None and self.guide.whole else "length")
        self.tokens += taken
        if self.params.returns.return_log_probs:
            self.log_probs += log_probs[: len(taken)]
        self.counters.output_tokens = len(self.tokens)
        return taken

    @property
    def dictated(self) -> tuple[int, ...]:
        """What must come next whatever the model says.

        Nothing where rules may forbid some of it, or the model's likeliest tokens are asked for: each is then chosen.
        """
        chosen = self.rules or self.params.returns.top_log_probs
        return () if self.guide is None or chosen else self.guide.forced

    def commit_dictated(self) -> list[int]:
        """Append what must come next, which no pass has to find; return it."""
        committed: list[int] = []
        while not self.done and (tokens := self.dictated):
            committed += self.commit([*tokens], [0.0] * len(tokens))
        return committed

    def finish(self, reason: FinishReason) -> None:
        """Record why the answer ends; no further pass is needed."""
        self.finish_reason = reason
        self.phase = Phase.DONE

    def truncate(self, count: int) -> None:
        """Forget all but the first `count` tokens: a stop word ended the answer inside a committed run."""
        del self.tokens[count:]
        del self.log_probs[count:]
        self.counters.output_tokens = count

    def open_draft(self, tokens: list[int], log_probs: npt.NDArray[np.float64] | None = None) -> None:
        """Start a block of a whole draft, see `Block.drafted`; the next pass verifies it."""
        self.block, self.phase = Block.drafted(self.cached, tokens, log_probs), Phase.VERIFY

    def open_block(self, seed: int, forced: dict[int, int], last: int) -> None:
        """Start a block: `seed` at offset 0, `forced` offsets fixed, the offsets from `last` on never filled.

        Those from `last` on are beyond the request's limit: they stay masks so that the block keeps its width.
        """
        self.block = Block.masked(self.cached, self.block_length, self.mask_token_id, last)
        # Only in reference mode can the seed be the mask id; the reference then fills it like any masked position.
        self.block.decide(forced if seed == self.mask_token_id else {0: seed, **forced})

"""Counters: what one request cost, in passes by purpose and drafts by fate.

Numbers are data here; who prints or sends them is decided elsewhere.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, fields, replace
from itertools import zip_longest
from typing import Literal, get_args

FreeDraft = Literal["prediction", "prompt_lookup"]
"""Where drafts come from that no pass makes: the fields of a request that ask for them."""
FREE_DRAFTS: tuple[FreeDraft, ...] = get_args(FreeDraft)


@dataclass(frozen=True)
class Meaning:
    """What one counter or ratio says, for people, and its unit."""

    unit: str
    help: str


MEANINGS: dict[str, Meaning] = {
    "forwards": Meaning("passes", "Every pass after the prefill: the sum of the six kinds of pass that follow it."),
    "prefill_forwards": Meaning("passes", "Passes that read the prompt."),
    "decode_forwards": Meaning("passes", "Passes that gave a single token."),
    "draft_forwards": Meaning("passes", "Passes of self-speculation that drafted a block."),
    "denoise_forwards": Meaning("passes", "Passes that refined a block of diffusion, or a window of a gap or text."),
    "verify_forwards": Meaning("passes", "Passes that judged a draft: one of self-speculation, or a free one."),
    "commit_forwards": Meaning(
        "passes",
        "Passes that put a block into the cache. With `revise_rounds`, passes that score a block of diffusion do that "
        "too; `commit_forwards` then counts only the blocks whose change was refused.",
    ),
    "score_forwards": Meaning("passes", "Passes that scored a text or a filled block."),
    "cached_tokens": Meaning(
        "tokens", "Tokens of the prompt that the prefix cache knew from an earlier request, and that were not read."
    ),
    "image_tokens": Meaning(
        "tokens", "Tokens of the prompt that stand for pictures: one a cell, the ends of its rows, and two around them."
    ),
    "total_draft_tokens": Meaning(
        "tokens",
        "Tokens drafted: `block_length` - 1 in each cycle, fewer in mode auto or at the end of the answer. Those of "
        "free drafts, which no pass made, are among them.",
    ),
    "total_accepted_draft_tokens": Meaning(
        "tokens",
        "Drafted tokens that verification confirmed. The bonus token that each verification adds is not one of them.",
    ),
    "max_draft_tokens": Meaning("tokens", "Tokens of the longest draft; 0 if nothing was drafted."),
    "accepted_prediction_tokens": Meaning(
        "tokens", "Drafted tokens that came from `prediction` and that verification confirmed."
    ),
    "rejected_prediction_tokens": Meaning(
        "tokens",
        "Drafted tokens that came from `prediction` and that verification did not confirm; one that was drafted twice "
        "counts twice.",
    ),
    "accepted_prompt_lookup_tokens": Meaning(
        "tokens", "Drafted tokens that `prompt_lookup` found and that verification confirmed."
    ),
    "rejected_prompt_lookup_tokens": Meaning(
        "tokens", "Drafted tokens that `prompt_lookup` found and that verification did not confirm."
    ),
    "output_tokens": Meaning("tokens", "Tokens of the answer; `num_output_tokens` on the wire."),
    "tokens_per_forward": Meaning("tokens per pass", "Tokens of the answer over `forwards`; 0 if there was no pass."),
    "tokens_per_cycle": Meaning(
        "tokens per cycle",
        "Tokens of the answer over `forwards` - `draft_forwards`, so that a draft and its verification count once; "
        "0 if there was no pass. It is the acceptance length that papers report, except that it includes the first "
        "token, which the prefill gives.",
    ),
    "acceptance_rate": Meaning(
        "share, 0 to 1",
        "`total_accepted_draft_tokens` over `total_draft_tokens`; 0 if nothing was drafted.",
    ),
}
"""What every counter and ratio means, by its name; the documentation is made from it."""


@dataclass
class Counters:
    """Passes by purpose and drafts by fate, of one request. MEANINGS says what each counts.

    A request to fill gaps counts the passes of every size that it tried.

    Attributes:
        acceptance: verifications by the drafted tokens that they confirmed: the first item counts those that confirmed
            none, the next one those that confirmed one. Its sum is `verify_forwards`.
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
    max_draft_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0
    accepted_prompt_lookup_tokens: int = 0
    rejected_prompt_lookup_tokens: int = 0
    cached_tokens: int = 0
    image_tokens: int = 0
    output_tokens: int = 0
    acceptance: tuple[int, ...] = ()

    def __add__(self, other: Counters) -> Counters:
        """Return the sums, counter by counter; of the longest drafts, the longer one."""
        acceptance = map(sum, zip_longest(self.acceptance, other.acceptance, fillvalue=0))
        sums = {name: value + getattr(other, name) for name, value in self._counts().items()}
        longest = max(self.max_draft_tokens, other.max_draft_tokens)
        return replace(Counters(**sums, acceptance=tuple(acceptance)), max_draft_tokens=longest)

    def verified(self, drafted: int, accepted: int, free: FreeDraft | None = None) -> None:
        """Count a verification of `drafted` tokens that confirmed `accepted` of them; `free` says where they came from.

        None stands for a draft that the model made.
        """
        self.verify_forwards += 1
        self.total_draft_tokens += drafted
        self.total_accepted_draft_tokens += accepted
        self.max_draft_tokens = max(self.max_draft_tokens, drafted)
        if free == "prediction":
            self.accepted_prediction_tokens += accepted
            self.rejected_prediction_tokens += drafted - accepted
        elif free == "prompt_lookup":
            self.accepted_prompt_lookup_tokens += accepted
            self.rejected_prompt_lookup_tokens += drafted - accepted
        counts = [*self.acceptance, *(0 for _ in range(len(self.acceptance), accepted + 1))]
        counts[accepted] += 1
        self.acceptance = tuple(counts)

    def _counts(self) -> dict[str, int]:
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "acceptance"}

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
        """Passes after the prefill, a draft with its verification counted once.

        So tokens_per_cycle is the acceptance length that papers report, but for the first token, which the prefill
        gives.
        """
        return self.forwards - self.draft_forwards

    @property
    def tokens_per_forward(self) -> float:
        """Output tokens over `forwards`; 0 if there was no pass."""
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
        return {**self._counts(), **{name: getattr(self, name) for name in ratios}}


STEP_SIZES = (1.0, *(float(2**power) for power in range(3, 15)))
"""Tokens by which steps are counted: 1, 8, 16 and on to 16,384, as vLLM has them."""


class StepTally:
    """Steps of the scheduler's loop by their number of tokens. One thread counts them, another may read.

    A step may last a millisecond: it is counted in place, for a tenth of what a sample of the metrics takes.

    Attributes:
        steps: for each bound of STEP_SIZES, how many steps had so many tokens or fewer, and more than the bound before;
            the last entry is of those beyond all bounds.
        tokens: of all steps.
    """

    def __init__(self) -> None:
        self.steps = [0] * (len(STEP_SIZES) + 1)
        self.tokens = 0

    def add(self, tokens: int) -> None:
        """Count a step."""
        self.steps[bisect_left(STEP_SIZES, tokens)] += 1
        self.tokens += tokens


@dataclass(frozen=True)
class Stats:
    """The runtime's counts at one moment.

    Attributes:
        running, waiting: requests. slots: for keys and values; slots_used: share of them that sequences hold.
        passes_total: compiled calls. prompt_tokens, cached_tokens: looked up in the prefix cache; found there.
        prefix_bytes, grammar_bytes: what the prefix cache holds; what the grammars that are kept are counted with.
        auto_cycles: by the mode and the length of draft that `auto` chose. steps: of the scheduler, by their tokens.
        encoded_pictures, found_pictures: those that went through the tower, and those that had before.
        picture_bytes: what is kept of pictures that were encoded.
        pass_seconds: what a call takes, with what is done around it, by rows and tokens per row, as `auto` sees it.
    """

    running: int
    waiting: int
    slots_used: float
    passes_total: int
    prompt_tokens: int
    cached_tokens: int
    prefix_bytes: int
    auto_cycles: dict[tuple[str, int], int]
    pass_seconds: dict[tuple[int, int], float]
    grammar_bytes: int = 0
    steps: StepTally = field(default_factory=StepTally)
    encoded_pictures: int = 0
    found_pictures: int = 0
    picture_bytes: int = 0
    slots: int = 0

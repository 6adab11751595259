"""Counters: what one request cost, in passes by purpose and drafts by fate.

Numbers are data here; who prints or sends them is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass
class Counters:
    """Passes by purpose and drafts by fate, of one request.

    Attributes:
        prefill_forwards: passes that read the prompt.
        decode_forwards: passes that gave a single token.
        draft_forwards, verify_forwards: passes of self-speculation.
        denoise_forwards: passes that refined a block, or a window of a gap or text.
        commit_forwards: passes that put a block into the cache. With revise_rounds diffusion's score_forwards do that
            too; commit_forwards are then those of blocks whose change was refused.
        score_forwards: passes that scored a text or a filled block.
        total_draft_tokens: tokens drafted, block_length - 1 a cycle.
        total_accepted_draft_tokens: those that verification confirmed; the bonus token that each verification adds is
            not a draft token.
        cached_tokens: of the prompt, those that were known from an earlier one and not read again.
        output_tokens: tokens of the answer.

    A request to fill gaps counts the passes of every size that it tried.
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
        """Passes after the prefill, a draft with its verification counted once.

        So tokens_per_cycle is the acceptance length that papers report, but for the first token, which the prefill
        gives.
        """
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

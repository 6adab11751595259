"""InfillState: a gap that is being filled, and the texts that its tokens may stand for. Knows nothing of sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass
class InfillState:
    """A gap of known size after the prompt that is filled with its right side in sight.

    Attributes:
        size: tokens to fill.
        right: (R,) int64, the tokens that follow the gap; as many as fit are seen.
        interpret: from the tokens that fill the gap to the texts that they may stand for; the likeliest is taken. No
            text at all means that the tokens cannot be taken.
        banned: ids that must not fill it in addition to the mask id: special tokens.
        first_ids: (A,) int64, ids of which its first token must be one; None if it may be any.
        needs_score: whether a score is wanted even if there is only one reading.
        given: what fills the gap when that is known and only to be scored.
        scores_given: whether that itself is being scored, since its log-probabilities are wanted and were not known.
        reading: the text that was taken.
        score: the mean log-probability of it and of what follows under the causal model, if there is anything to score.
        unscored: readings still to be scored.
        scored: (M,) int64, the text that is being scored; log_probs: of its tokens, as far as they are known.
    """

    size: int
    right: npt.NDArray[np.int64]
    interpret: Callable[[list[int]], list[Reading]]
    banned: tuple[int, ...] = ()
    first_ids: npt.NDArray[np.int64] | None = None
    needs_score: bool = False
    given: list[int] | None = None
    scores_given: bool = False
    reading: Reading | None = None
    score: float | None = None
    unscored: list[Reading] = field(default_factory=list)
    scored: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    log_probs: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Reading:
    """One text that a gap's tokens may stand for.

    Attributes:
        text: what fills the gap.
        ids: (M,) the text up to about a block after it, as a tokenizer writes it.
        first: the position from which on tokens hold something of the gap or of what follows it: these are scored.
        worth: a text of higher worth is taken even if another one is likelier.
    """

    text: str
    ids: list[int]
    first: int
    worth: int = 1

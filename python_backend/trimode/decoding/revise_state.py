"""ReviseState: a text that is being reconsidered, and how far that has come. Knows nothing of sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Window(NamedTuple):
    """A block of a text that is reconsidered: its first picked position, its end, and where the next one may pick."""

    first: int
    end: int
    next_from: int


@dataclass
class ReviseState:
    """A text that is being reconsidered, and how far that has come.

    Attributes:
        ids: (M,) int64, context and text; replaced when a change is kept.
        allowed: (M,) bool, tokens that may be reconsidered.
        allowed_ids: for those that hold something to be kept, by position, the ids (A,) int64 that hold it too.
        threshold: those of a log-probability below it are; fraction: or this share, the least likely; neither: all.
        rounds: most rounds over the text; a round without a change is the last.
        always: keep every change, not only one that makes its block likelier.
        banned: ids that are never put in: special tokens. filler: what follows the text's end in a window.
        log_probs: (M,) float64, of each token given those before it; NaN where unknown.
        picked: what this round reconsiders, None before it is known; at: where in the text the round is.
        window: the block that is being refined or scored.
        score_end: where the current causal passes end.
        tried, tried_log_probs: the text with a change, and its log_probs.
    """

    ids: npt.NDArray[np.int64]
    allowed: npt.NDArray[np.bool_]
    threshold: float | None
    fraction: float | None
    rounds: int
    always: bool
    banned: tuple[int, ...]
    filler: int
    allowed_ids: Mapping[int, npt.NDArray[np.int64]] = field(default_factory=dict)
    log_probs: npt.NDArray[np.float64] = field(init=False)
    round: int = 0
    picked: npt.NDArray[np.int64] | None = None
    changed: bool = False
    at: int = 0
    window: Window = field(default=Window(0, 0, 0))  # a NamedTuple cannot be changed
    score_end: int = 0
    tried: npt.NDArray[np.int64] = field(init=False)
    tried_log_probs: npt.NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.log_probs = np.full(len(self.ids), np.nan)

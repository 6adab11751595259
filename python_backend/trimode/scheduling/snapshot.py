"""BlockSnapshot: what a pass left of a block, for who watches: which tokens are decided, and how likely they were.

It is taken between two passes, where time counts, so it copies arrays and nothing else; block_view.py makes what a
client sees of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..api.fields import Mode
from ..decoding.sequence import SequenceState


@dataclass(frozen=True)
class BlockSnapshot:
    """A block after a pass.

    Attributes:
        start: where in the answer it starts, in tokens. step: passes spent on it, from 1.
        tokens: (L,) int64; open: (L,) bool, whether a token is still masked.
        log_probs: (L,) float32, of each token when it was chosen; NaN where that is not known.
        committed: how many of its tokens were the answer's.
        said: how many characters the response that it goes with had then.
    """

    start: int
    step: int
    tokens: npt.NDArray[np.int64]
    open: npt.NDArray[np.bool_]
    log_probs: npt.NDArray[np.float32]
    committed: int
    said: int

    @classmethod
    def of(cls, seq: SequenceState, said: int = 0) -> BlockSnapshot:
        """Copy the block of `seq`."""
        block = seq.current
        start = block.start - len(seq.prompt)
        log_probs = block.log_probs.copy()
        if seq.mode is Mode.SELF_SPECULATION:
            log_probs[0] = np.nan  # what verified it is no part of the draft
        step = max(1, block.step)  # a draft that came whole, out of a verification, has had that pass
        committed = len(seq.tokens) - start
        return cls(start, step, block.tokens.copy(), block.open.copy(), log_probs, committed, said)

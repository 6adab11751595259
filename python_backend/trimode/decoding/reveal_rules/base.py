"""Rule: a score for each masked position, and what else a reveal rule needs. Knows no rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Score = Callable[[Floats, Floats], Floats]
"""(R, V) logits of the R masked positions, left to right, and (R,) probabilities of their chosen tokens -> (R,) scores;
a higher score is surer."""


@dataclass(frozen=True)
class Rule:
    """One reveal rule.

    Attributes:
        score: how sure each candidate is.
        needs_logits: whether the score looks at more than the chosen token's probability; a rule that does not is given
            logits of shape (R, 0), since on a GPU they take longer to fetch than a pass.
        from_the_left: keep a run of candidates from the left rather than the surest ones.
    """

    score: Score
    needs_logits: bool = False
    from_the_left: bool = False


def confidence(logits: Floats, chosen: Floats) -> Floats:
    """Score by the probability of the chosen token."""
    del logits
    return chosen

"""A reveal rule of one's own: reveal no two masked positions next to each other in one pass.

    trimode-serve --reveal-rule examples/reveal_rules/every_other.py
    trimode generate "What is 23 + 2221?" --mode diffusion --reveal every_other --stats

Tokens that are revealed in the same pass do not see each other. This rule leaves every other masked position for a
later pass, in which it sees both of its neighbours. A block of n masked positions takes log2(n + 1) passes or more;
the shipped rule `threshold` may take one. The file's name is the rule's name.
"""

from __future__ import annotations

import numpy as np
from trimode.decoding.reveal_rules.base import Floats, Rule


def every_other(logits: Floats, chosen: Floats) -> Floats:
    """Score the 1st, 3rd, 5th ... masked position by its probability, and those between them by 0.

    Args:
        logits: (R, V) float32, of the R masked positions from left to right; not used.
        chosen: (R,) float32, the probability of each position's most likely token.

    Returns:
        (R,) float32. A position whose score reaches the request's `threshold` is revealed in this pass.
    """
    del logits
    return np.where(np.arange(len(chosen)) % 2 == 0, chosen, np.float32(0))


RULE = Rule(every_other)

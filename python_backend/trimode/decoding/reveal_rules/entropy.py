"""Keep the candidates whose whole distribution is the most certain."""

from __future__ import annotations

import numpy as np

from ..sampling import softmax
from .base import Floats, Rule


def negative_entropy(logits: Floats, chosen: Floats) -> Floats:
    """Score by 1 - H(p)/log V: 1 for a certain distribution, 0 for a flat one."""
    del chosen
    p = softmax(logits)  # (R, V)
    entropy = -np.sum(p * np.log(np.maximum(p, np.float32(1e-30))), axis=-1)
    # rounding may give a flat distribution a little less than 0
    return np.asarray(np.maximum(1.0 - entropy / np.log(logits.shape[-1]), 0.0), dtype=np.float32)


RULE = Rule(negative_entropy, needs_logits=True)

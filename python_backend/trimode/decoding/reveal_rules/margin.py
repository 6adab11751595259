"""Keep the candidates whose most likely token leads the second by the most."""

from __future__ import annotations

import numpy as np

from ..sampling import softmax
from .base import Floats, Rule


def margin(logits: Floats, chosen: Floats) -> Floats:
    """Score by the lead of the most likely token over the second, as a difference of probabilities."""
    del chosen
    two = np.partition(softmax(logits), -2, axis=-1)[:, -2:]  # (R, 2)
    return np.asarray(two[:, 1] - two[:, 0], dtype=np.float32)


RULE = Rule(margin, needs_logits=True)

"""Log-probabilities of given tokens from logits in the host's memory. Knows nothing of rows, engines or devices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def log_prob(logits: Floats, token: int) -> float:
    """Return the log-probability of `token` under `logits` (V,), before temperature, filters and penalties."""
    wide = logits.astype(np.float64)
    top = wide.max()
    return float(wide[token] - top - np.log(np.exp(wide - top).sum()))


def log_probs_of(logits: Floats, ids: Ints) -> Doubles:
    """Return the log-probability of one given token per row: logits (R, V), ids (R,) -> (R,)."""
    chosen: Doubles = logits[np.arange(len(ids)), ids] - log_norms(logits)
    return chosen


def log_norms(logits: Floats) -> Doubles:
    """Return the logarithm of the sum of exponentials of each row, (R,)."""
    top = logits.max(axis=-1, keepdims=True)
    norms: Doubles = np.log(np.exp(logits - top).sum(axis=-1, dtype=np.float64)) + top[:, 0]
    return norms

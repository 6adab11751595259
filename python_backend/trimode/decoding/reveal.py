"""Which masked positions a denoising pass keeps: a registry of pure rules over the candidates' probabilities.

A rule gets one pass's candidates and must keep at least `quota` of them, so that a block is done within its steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .sampling import softmax

Floats = npt.NDArray[np.float32]
Kept = npt.NDArray[np.bool_]
# logits (R, V) of the R masked positions, left to right -> a score per position; higher is surer
Score = Callable[[npt.NDArray[np.float32], Floats], Floats]


def confidence(logits: Floats, chosen: Floats) -> Floats:
    """Score by the probability of the chosen token: the released models' own rule (MODEL family `generate`)."""
    del logits
    return chosen


def negative_entropy(logits: Floats, chosen: Floats) -> Floats:
    """Score by 1 - H(p)/log V: 1 for a certain distribution, 0 for a flat one."""
    del chosen
    p = softmax(logits)  # (R, V)
    entropy = -np.sum(p * np.log(np.maximum(p, np.float32(1e-30))), axis=-1)
    # rounding may give a flat distribution a little less than 0
    return np.asarray(np.maximum(1.0 - entropy / np.log(logits.shape[-1]), 0.0), dtype=np.float32)


def margin(logits: Floats, chosen: Floats) -> Floats:
    """Score by the lead of the most likely token over the second, as a difference of probabilities."""
    del chosen
    two = np.partition(softmax(logits), -2, axis=-1)[:, -2:]  # (R, 2)
    return np.asarray(two[:, 1] - two[:, 0], dtype=np.float32)


NEED_LOGITS = ("entropy", "margin")
"""Rules that look at more than the chosen token's probability."""

SCORES: dict[str, Score] = {
    "threshold": confidence,
    "steps": confidence,
    "entropy": negative_entropy,
    "margin": margin,
    "leftmost": confidence,
}


def reveal(rule: str, logits: Floats, chosen: Floats, quota: int, threshold: float | None) -> Kept:
    """Return which candidates to keep, (R,) bool.

    Args:
        rule: a key of SCORES. "leftmost" keeps a run from the left, the others the surest.
        logits: (R, V) float32; chosen: (R,) float32, probability of each candidate's token.
        quota: at least this many are kept (all, if there are fewer).
        threshold: candidates that score at least this are kept too; compared in float32, as the reference does.
            "leftmost" extends its run while the score holds.
    """
    score = SCORES[rule](logits, chosen)
    count = len(score)
    sure = np.zeros(count, dtype=bool) if threshold is None else ~(score < np.float32(threshold))
    if rule == "leftmost":
        run = count if sure.all() else int(np.argmin(sure))
        return np.arange(count) < max(run, quota)
    if quota >= count:
        return np.ones(count, dtype=bool)
    kept = sure
    if quota == 1:
        kept[np.argmax(score)] = True
    else:
        kept[np.argsort(-score, kind="stable")[:quota]] = True
    return kept

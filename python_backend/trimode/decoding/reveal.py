"""Which masked positions a denoising pass keeps, by the rule that the request names.

A rule gets one pass's candidates and must keep at least `quota` of them, so that a block is done within its steps.
Rules are the files of reveal_rules/; a request may name each of them by its file's name.
"""

from __future__ import annotations

from importlib import import_module

import numpy as np
import numpy.typing as npt

from ..api.fields import REVEALS
from .reveal_rules.base import Floats, Rule

Kept = npt.NDArray[np.bool_]

RULES: dict[str, Rule] = {name: import_module(f".reveal_rules.{name}", __package__).RULE for name in REVEALS}
"""The rules by name."""
NEED_LOGITS = frozenset(name for name, rule in RULES.items() if rule.needs_logits)
"""Rules that look at more than the chosen token's probability."""


def reveal(rule: str, logits: Floats, chosen: Floats, quota: int, threshold: float | None) -> Kept:
    """Return which candidates to keep, (R,) bool.

    Args:
        rule: a key of RULES. Some keep a run from the left, the others the surest.
        logits: (R, V) float32; chosen: (R,) float32, probability of each candidate's token.
        quota: at least this many are kept (all, if there are fewer).
        threshold: candidates that score at least this are kept too; compared in float32, as the reference does.
            A run from the left goes on while the score holds.
    """
    found = RULES[rule]
    score = found.score(logits, chosen)
    count = len(score)
    sure = np.zeros(count, dtype=bool) if threshold is None else ~(score < np.float32(threshold))
    if found.from_the_left:
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

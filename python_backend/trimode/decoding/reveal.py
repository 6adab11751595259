"""Which masked positions a denoising pass keeps, by the rule that the request names.

A rule gets one pass's candidates and must keep at least `quota` of them, so that a block is done within its steps.
Rules are the files of reveal_rules/ and those that TRIMODE_REVEAL_RULES names, which Runtime.open adds; a request may
name each of them by its file's name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..api.fields import SHIPPED_REVEALS
from ..api.reveals import check_rule_files, rule_files
from ..errors import ConfigError
from .reveal_rules.base import Floats, Rule

Kept = npt.NDArray[np.bool_]

RULES: dict[str, Rule] = {name: import_module(f".reveal_rules.{name}", __package__).RULE for name in SHIPPED_REVEALS}
"""The rules by name."""
NEED_LOGITS = {name for name, rule in RULES.items() if rule.needs_logits}
"""Rules that look at more than the chosen token's probability."""


def add_rules(paths: Collection[Path] | None = None) -> None:
    """Load the rules of the files `paths`, by default those that TRIMODE_REVEAL_RULES names, and add them to RULES.

    Raises:
        ConfigError: a file is missing, cannot be loaded, or cannot have its name; no rule is added then.
    """
    files = rule_files() if paths is None else paths
    check_rule_files(files, SHIPPED_REVEALS)
    added = {path.stem: load_rule(path) for path in files}
    RULES.update(added)
    NEED_LOGITS.update(name for name, rule in added.items() if rule.needs_logits)


def load_rule(path: Path) -> Rule:
    """Run a Python file and return its RULE; it may import from `.base` and `..sampling`, as the shipped rules do.

    Raises:
        ConfigError: the file cannot be run, has no RULE that is a Rule, or its score looks at logits it will not get.
    """
    name = f"{__package__}.reveal_rules.{path.stem}"
    spec = spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # for a name that ends in .py there is always a loader
    module = sys.modules[name] = module_from_spec(spec)  # where dataclasses look for the module of a class
    try:
        spec.loader.exec_module(module)
    except Exception as exc:
        del sys.modules[name]
        raise ConfigError(f"reveal rule {path} cannot be loaded: {type(exc).__name__}: {exc}") from exc
    found = getattr(module, "RULE", None)
    if not isinstance(found, Rule):
        got = "nothing" if found is None else f"a value of type {type(found).__name__}"
        raise ConfigError(f"reveal rule {path} must define RULE, a trimode.decoding.reveal_rules.base.Rule, got {got}")
    if not found.needs_logits:
        _check_without_logits(path, found)
    return found


def _check_without_logits(path: Path, rule: Rule) -> None:
    """Score one candidate without logits, as every pass will: a rule that looks at them would fail each request."""
    try:
        scores = np.asarray(rule.score(np.empty((1, 0), dtype=np.float32), np.array([0.5], dtype=np.float32)))
        if scores.shape != (1,):
            raise ValueError(f"expected scores of shape (1,), got {scores.shape}")
    except Exception as exc:
        limit = "needs_logits is False, so its score gets logits of shape (R, 0)"
        failed = f"{type(exc).__name__}: {exc}"
        raise ConfigError(f"reveal rule {path}: {limit}; of one candidate it gave {failed}") from exc


def reveal(rule: str, logits: Callable[[], Floats], chosen: Floats, quota: int, threshold: float | None) -> Kept:
    """Return which candidates to keep, (R,) bool.

    Args:
        rule: a key of RULES. Some keep a run from the left, the others the surest.
        logits: gives (R, V) float32; asked only if the rule needs them, since they may lie on a device.
        chosen: (R,) float32, probability of each candidate's token.
        quota: at least this many are kept (all, if there are fewer).
        threshold: candidates that score at least this are kept too; compared in float32, as the reference does.
            A run from the left goes on while the score holds.
    """
    found = RULES[rule]
    looked_at = logits() if rule in NEED_LOGITS else np.empty((len(chosen), 0), dtype=np.float32)
    score = found.score(looked_at, chosen)
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

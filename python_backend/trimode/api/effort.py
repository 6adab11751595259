"""The table of the request field `effort`: the knobs of diffusion that each value stands for, from cheap to careful.

A checkpoint's own quality sweep makes it (perf/quality/effort.py); the bundle carries it. Knows nothing of requests.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..errors import BundleError, RequestError
from .checks import check_field


@dataclass(frozen=True)
class Level:
    """The knobs from one value of `effort` up to the next level.

    Attributes:
        effort: the lowest value to which this level applies.
        block_length, denoise_steps, threshold, revise_rounds: the request's fields; without a threshold the steps alone
            decide, as with `reveal` "steps".
        accuracy: share of the sweep's prompts that were answered exactly; forwards_per_token: what that cost.
    """

    effort: float
    block_length: int
    denoise_steps: int
    threshold: float | None
    revise_rounds: int
    accuracy: float
    forwards_per_token: float


@dataclass(frozen=True)
class EffortTable:
    """The levels of one checkpoint, the cheapest first."""

    checkpoint_hash: str
    levels: tuple[Level, ...]

    @classmethod
    def load(cls, path: Path) -> EffortTable | None:
        """Read effort.json; None where there is no such file.

        Raises:
            BundleError: the file cannot be read, or a key is missing, unknown or out of its field's range.
        """
        if not path.is_file():
            return None
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            levels = tuple(_level(entry) for entry in raw["levels"])
            table = cls(str(raw["checkpoint_hash"]), levels)
        except (OSError, ValueError, KeyError, TypeError, RequestError) as exc:
            raise BundleError(f"{path} cannot be used: {exc!r}. `make quality` writes a new one") from exc
        starts = [level.effort for level in levels]
        if starts[:1] != [0] or any(low >= high for low, high in pairwise(starts)):
            raise BundleError(
                f"{path}: effort must begin at 0 and ascend, got {starts}. `make quality` writes a new one"
            )
        return table

    def at(self, effort: float) -> Level:
        """Return the last level that begins at or below `effort`, 0 to 1."""
        return next(level for level in reversed(self.levels) if level.effort <= effort)


def _level(entry: dict[str, Any]) -> Level:
    names = {field.name for field in fields(Level)}
    if set(entry) != names:
        raise ValueError(f"a level must have the keys {sorted(names)}, got {sorted(entry)}")
    knobs = ("effort", "block_length", "denoise_steps", "threshold", "revise_rounds")
    checked = {name: check_field(name, entry[name]) for name in knobs}
    missing = [name for name, value in checked.items() if value is None and name != "threshold"]
    if missing or checked["denoise_steps"] > checked["block_length"]:
        raise ValueError(f"a level needs {missing or 'denoise_steps of at most block_length'}: {entry}")
    return Level(**checked, accuracy=float(entry["accuracy"]), forwards_per_token=float(entry["forwards_per_token"]))

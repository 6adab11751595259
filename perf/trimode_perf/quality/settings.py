"""Which ways of decoding are counted: on every prompt, in the sweep on a few, and those repeated in int8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from trimode.api.fields import Mode

BLOCKS = (32, 16, 8)
SWEPT_BLOCKS = (4, 8, 16, 32)
SWEPT_STEPS = (1, 2, 4, 8, 16, 32)
SWEPT_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
JOINT_BLOCKS, JOINT_STEPS, JOINT_THRESHOLDS = (32, 16), (2, 4, 8, 16), (0.7, 0.9)
"""Of these the sweep has every combination: a threshold, and `denoise_steps` as the upper bound on the passes."""
FINISHED = ((2, 0.0), (4, 0.7), (8, 0.9), (32, 0.9), (32, 0.95))
"""Of these, `denoise_steps` and threshold at the longest block, the sweep has blocks that are revised once, too.

The first one fills a block in one pass and has one left for what is unlikely.
"""
THRESHOLD = 0.9
"""The served default of diffusion."""
MAX_TOKENS = 160
"""Longer than any right reply; text that never ends counts up to here."""
CODE_TOKENS = 64
"""Of a plain text, which has no end."""


@dataclass(frozen=True)
class Setting:
    """One way of decoding. `prompts` is "every" or "sweep" (the first few of each domain).

    Without a threshold the steps alone decide how many tokens a pass keeps, as `reveal` "steps" does.
    """

    mode: str
    block_length: int | None = None
    denoise_steps: int | None = None
    threshold: float | None = None
    adapter: bool = False
    precision: str = "float32"
    prompts: str = "every"
    revise_rounds: int = 0

    @property
    def fields(self) -> dict[str, Any]:
        """The request's fields."""
        if self.mode == Mode.AUTOREGRESSIVE:
            return {"mode": self.mode}
        fields: dict[str, Any] = {"mode": self.mode, "block_length": self.block_length}
        if self.mode == Mode.SELF_SPECULATION:
            fields["draft_adapter"] = self.adapter
        else:
            fields["denoise_steps"] = self.denoise_steps
            fields["revise_rounds"] = self.revise_rounds
            fields |= {"reveal": "steps"} if self.threshold is None else {"threshold": self.threshold}
        return fields

    def as_dict(self) -> dict[str, Any]:
        """Return what identifies a run in the results."""
        return asdict(self)


def autoregressive(precision: str = "float32") -> Setting:
    """Return the reference that the others are held against."""
    return Setting(Mode.AUTOREGRESSIVE.value, precision=precision)


def diffusion(block: int, threshold: float = THRESHOLD, prompts: str = "every", precision: str = "float32") -> Setting:
    """Return diffusion that keeps what is surer than `threshold`, with as many passes as that takes."""
    return Setting(Mode.DIFFUSION.value, block, block, threshold, precision=precision, prompts=prompts)


def self_speculation(block: int, adapter: bool, precision: str = "float32") -> Setting:
    """Return self-speculation as served: threshold 0 keeps a draft's every token at its first pass."""
    return Setting(Mode.SELF_SPECULATION.value, block, block, 0.0, adapter=adapter, precision=precision)


def on_every_prompt(adapter: bool) -> list[Setting]:
    """Return what every prompt is asked in; `adapter` says that the bundle has one. The reference comes first."""
    drafted = [
        self_speculation(block, with_it) for with_it in ((True, False) if adapter else (False,)) for block in BLOCKS
    ]
    return [autoregressive(), *(diffusion(block) for block in BLOCKS), *drafted]


def main_settings(adapter: bool, precision: str) -> list[Setting]:
    """Return each mode once, at the longest block. The reference comes first."""
    block = BLOCKS[0]
    drafted = self_speculation(block, adapter, precision)
    return [autoregressive(precision), diffusion(block, precision=precision), drafted]


def sweep() -> Iterator[Setting]:
    """Return diffusion's grid: fixed steps, thresholds with as many passes as they take, a few with both or revised."""
    for block in SWEPT_BLOCKS:
        for steps in SWEPT_STEPS:
            if steps <= block:
                yield Setting(Mode.DIFFUSION.value, block, steps, None, prompts="sweep")
        for threshold in SWEPT_THRESHOLDS:
            yield diffusion(block, threshold, prompts="sweep")
    for block in JOINT_BLOCKS:
        for steps in JOINT_STEPS:
            if steps < block:  # as many steps as tokens are no bound
                for threshold in JOINT_THRESHOLDS:
                    yield Setting(Mode.DIFFUSION.value, block, steps, threshold, prompts="sweep")
    yield Setting(Mode.DIFFUSION.value, BLOCKS[0], *FINISHED[0], prompts="sweep")
    for steps, bound in FINISHED:
        yield Setting(Mode.DIFFUSION.value, BLOCKS[0], steps, bound, prompts="sweep", revise_rounds=1)

"""Which ways of decoding are counted, and on what: every prompt, a few in the sweep, and those in fewer bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from trimode.api.fields import Mode
from trimode.bundle.manifest import Manifest
from trimode_convert.checkpoint.checkpoint import Checkpoint

from ..common.progress import MeasureError
from ..common.prompts import HELD_OUT, Prompt, load
from ..common.results import read
from . import prompts as human_eval
from .pictures import Scope
from .prompts import Problem, forms

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
PICTURE_TOKENS = 48
"""Longer than any right answer to a question on a picture."""
QUADRATIC = 8
"""Tokens of a draft of quadratic speculation: its pass has 72."""
FEWER_BITS = ("int8", "int4")
"""Precisions that each mode is counted in beside float32, where there are bundles of them."""


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
    speculation: str = "linear"

    @property
    def fields(self) -> dict[str, Any]:
        """The request's fields."""
        if self.mode in (Mode.AUTOREGRESSIVE, Mode.AUTO):
            return {"mode": self.mode}
        fields = {"mode": self.mode, "block_length": self.block_length}
        if self.mode == Mode.SELF_SPECULATION:
            return {**fields, "draft_adapter": self.adapter, "speculation": self.speculation}
        bounds = {"reveal": "steps"} if self.threshold is None else {"threshold": self.threshold}
        return {**fields, "denoise_steps": self.denoise_steps, "revise_rounds": self.revise_rounds, **bounds}


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


def on_pictures(adapter: bool) -> list[Setting]:
    """Return what questions on pictures are asked in: each mode once, drafts both ways. The reference comes first."""
    quadratic = replace(self_speculation(QUADRATIC, adapter), speculation="quadratic")
    return [*main_settings(adapter, "float32"), quadratic, Setting(Mode.AUTO.value)]


def sweep() -> Iterator[Setting]:
    """Return diffusion's grid: fixed steps, thresholds with as many passes as they take, a few with both or revised."""

    def point(block: int, steps: int, threshold: float | None, revise_rounds: int = 0) -> Setting:
        name = Mode.DIFFUSION.value
        return Setting(name, block, steps, threshold, prompts="sweep", revise_rounds=revise_rounds)

    for block in SWEPT_BLOCKS:
        yield from (point(block, steps, None) for steps in SWEPT_STEPS if steps <= block)
        yield from (point(block, block, threshold) for threshold in SWEPT_THRESHOLDS)
    for block, steps, threshold in product(JOINT_BLOCKS, JOINT_STEPS, JOINT_THRESHOLDS):
        if steps < block:  # as many steps as tokens are no bound
            yield point(block, steps, threshold)
    yield point(BLOCKS[0], *FINISHED[0])
    yield from (point(BLOCKS[0], steps, threshold, 1) for steps, threshold in FINISHED)


@dataclass(frozen=True)
class Amounts:
    """How much is asked at most: of each domain prompts, those of them that are swept, and pictures; problems."""

    per_domain: int
    swept: int
    problems: int
    pictures: int = 0


@dataclass(frozen=True)
class Plan:
    """What is asked: a checkpoint's held-out prompts, and how much of what; `others` are its bundles of fewer bits."""

    checkpoint: Path
    bundle: Path
    others: Mapping[str, Path]
    prompts: list[Prompt]
    problems: list[Problem]
    amounts: Amounts

    @classmethod
    def load(cls, checkpoint: Path, bundle: Path, others: Mapping[str, Path], amounts: Amounts) -> Plan:
        """Read the prompts and problems.

        Raises MeasureError where a bundle is not this checkpoint's, or not of its precision.
        """
        with Checkpoint.open(checkpoint) as opened:
            own = opened.hash()
        for precision, folder in {"float32": bundle, **others}.items():
            manifest = Manifest.load(folder)
            if manifest.precision != precision:
                raise MeasureError(f"{folder} is in {manifest.precision}, needed is {precision}")
            if manifest.checkpoint_hash != own:
                raise MeasureError(f"{folder} was not made from {checkpoint} as it is now: build it again")
        prompts, problems = load(checkpoint / HELD_OUT, amounts.per_domain), human_eval.problems(amounts.problems)
        return cls(checkpoint, bundle, others, prompts, problems, amounts)

    @property
    def adapter(self) -> bool:
        """Whether the bundle has a draft adapter."""
        return Manifest.load(self.bundle).adapter

    @property
    def scope(self) -> Scope | None:
        """Which pictures the checkpoint was trained to read; None where none are asked, or where it has no tower."""
        if not self.amounts.pictures or Manifest.load(self.bundle).vision is None:
            return None
        return Scope.of(read(self.checkpoint / "training.json"))

    @property
    def few(self) -> list[int]:
        """The sweep's prompts, by their place: the first ones of every domain of chats."""
        turns = len(load(self.checkpoint / HELD_OUT, self.amounts.swept))  # the domains take turns in `prompts`
        return [index for index, prompt in enumerate(self.prompts[:turns]) if prompt.answer is not None]

    @property
    def swept(self) -> list[Setting]:
        """The sweep's settings that are not asked on every prompt anyway."""
        known = [replace(setting, prompts="sweep") for setting in on_every_prompt(self.adapter)]
        return [setting for setting in sweep() if setting not in known]

    @property
    def on_problems(self) -> list[Setting]:
        """The settings that HumanEval is asked in."""
        own = main_settings(self.adapter, "float32")
        return [*own, self_speculation(BLOCKS[0], False)] if self.adapter else own

    def parts(self) -> list[tuple[str, int]]:
        """Return what is done and how many answers or texts that is."""
        every, few = len(self.prompts), self.few
        asked = [form for form in forms([self.prompts[i] for i in few]) for _ in form.prompts]
        seen = 2 * self.amounts.pictures * len(self.scope.tasks) if self.scope else 0  # once each, and once blank
        return [
            ("every prompt", every * len(on_every_prompt(self.adapter))),
            ("sweep", len(few) * len(self.swept)),
            ("other forms", len(asked)),
            ("HumanEval", len(self.problems) * len(self.on_problems)),
            *((name, every * len(main_settings(self.adapter, name))) for name in self.others),
            ("perplexity", every + len(self.problems)),
            ("pictures", seen * len(on_pictures(self.adapter))),
        ]

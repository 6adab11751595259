"""One run's settings: a YAML file becomes one frozen dataclass; unknown keys are errors.

Knows the settings' names, not what they do. Needs no package, except yaml to read a file.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ..model.config import ModelConfig, VisionConfig
from .packing import NoiseOptions, Shape


@dataclass(frozen=True)
class Mixture:
    """Shares of what a corpus draws; the rest are single chats without thinking."""

    code_share: float = 0.05
    prose_share: float = 0.02
    thinking_share: float = 0.12  # of the chats whose task has worked steps
    turns_share: float = 0.1  # of the chats


@dataclass(frozen=True)
class DataOptions(Mixture, Shape):
    """The mixture and the shape of a batch."""


@dataclass(frozen=True)
class PictureOptions:
    """Which pictures a run draws, and how their questions are put; `digits` to `noisy` as in `pictures.Variety`."""

    share: float = 0.0  # of the documents
    domains: tuple[str, ...] = ()  # none: all of them; one that is named twice is drawn twice as often
    chat: bool = True  # inside the chat template; without it picture, question and reply stand alone, which is cheaper
    digits: int = 5
    faces: int = 12
    words: int = 180
    noisy: bool = True


@dataclass(frozen=True)
class OptimOptions:
    """Optimisers and schedule. Muon moves the layers' matrices, AdamW everything else."""

    muon_lr: float = 4e-3
    adam_lr: float = 3e-3
    weight_decay: float = 0.05
    warmup: float = 0.02  # share of the run
    decay_from: float = 0.5  # share of the run after which the rate falls linearly to zero
    clip: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run's result, except the machine's speed."""

    name: str
    minutes: float = 70.0
    seed: int = 1
    device: str = "cpu"
    threads: int = 2
    workers: int = 0  # processes that make batches; 0 means one thread of the process that trains
    bfloat16: bool = True  # autocast; weights and updates stay float32
    compile: bool = True
    peak_tflops: float | None = None  # of the GPU in bfloat16; the log then reports how much of it is used
    save_minutes: float = 3.0
    evaluate_minutes: float = 8.0
    documents: int | None = None  # documents at most; the run ends with its minutes or with them
    start_from: str | None = None  # a checkpoint folder, relative to the project: its weights and tokenizer
    answers_of: str | None = None  # a run's folder under train/runs: documents are the answers in its answers.jsonl
    tokenizer_of: str | None = None  # a checkpoint folder whose tokenizer is taken, in place of that of `start_from`
    weights_of: str | None = None  # another run of this recipe's file: all its weights, or those that `taken` names
    taken: tuple[str, ...] = ()  # beginnings of tensor names
    frozen: tuple[str, ...] = ()  # beginnings of tensor names that keep their values
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataOptions = field(default_factory=DataOptions)
    pictures: PictureOptions = field(default_factory=PictureOptions)
    noise: NoiseOptions = field(default_factory=NoiseOptions)
    optim: OptimOptions = field(default_factory=OptimOptions)

    def __post_init__(self) -> None:
        if self.pictures.share and not (self.model.vision and self.data.patch_rows):
            raise ValueError(f"{self.name}: pictures.share needs model.vision and data.patch_rows")
        if self.model.vision and self.noise.second_look:
            raise ValueError(f"{self.name}: noise.second_look is for runs without model.vision")
        if self.answers_of and not self.start_from:
            raise ValueError(f"{self.name}: answers_of needs start_from, the model that answered")
        if self.answers_of and self.noise.second_look:
            raise ValueError(f"{self.name}: noise.second_look is for the family's own mask")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a YAML file of one run. Raises ValueError that names an unknown key, or says that there are stages."""
        recipes = cls.stages(path)
        if len(recipes) > 1:
            raise ValueError(f"{path.name}: has {len(recipes)} stages, expected one run")
        return recipes[0]

    @classmethod
    def stages(cls, path: Path) -> list[Self]:
        """Read a YAML file of one run or of several `stages`, each with its `name` and what differs from the rest.

        A stage's run is named FILE'S NAME/STAGE'S NAME, and so is what its `weights_of` names.
        Raises ValueError that names an unknown key.
        """
        import yaml  # here, because a machine that trains from an archive does not need it

        common = yaml.safe_load(path.read_text())
        recipes, name = [], common.get("name")
        for stage in common.pop("stages", [{}]):
            values = _merged(common, stage)
            if stage:
                values["name"] = f"{name}/{stage['name']}"
            if values.get("weights_of"):
                values["weights_of"] = f"{name}/{values['weights_of']}"
            recipes.append(cls.of(values, f"{path.name}: {values['name']}" if stage else path.name))
        return recipes

    @classmethod
    def of(cls, values: dict[str, Any], where: str) -> Self:
        """Build from nested dictionaries, as `dataclasses.asdict` gives them. Raises ValueError with `where` in it."""
        built: Self = _build(cls, values, where)
        return built


def _merged(common: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return `common` with what `own` has in its place; sections are merged, lists are not."""
    merged = dict(common)
    for name, value in own.items():
        is_section = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _merged(merged[name], value) if is_section else value
    return merged


def _build(kind: Any, values: dict[str, Any], where: str) -> Any:
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = set(values) - set(fields)
    if unknown:
        raise ValueError(f"{where}: unknown key {sorted(unknown)[0]!r}; known: {', '.join(fields)}")
    parts: dict[str, Any] = {
        "model": ModelConfig,
        "vision": VisionConfig,
        "data": DataOptions,
        "pictures": PictureOptions,
        "noise": NoiseOptions,
        "optim": OptimOptions,
    }
    parts |= {name: f.default_factory for name, f in fields.items() if dataclasses.is_dataclass(f.default_factory)}
    made = {
        name: _build(parts[name], value, f"{where}: {name}")
        if name in parts and isinstance(value, dict)
        else tuple(value)
        if isinstance(value, list)
        else value
        for name, value in values.items()
    }
    return kind(**made)

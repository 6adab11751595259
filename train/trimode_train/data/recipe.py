"""One run's settings: a YAML file becomes one frozen dataclass; unknown keys are errors.

Knows the settings' names, not what they do. Needs no package, except yaml to read a file.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ..model.config import ModelConfig
from .packing import NoiseOptions


@dataclass(frozen=True)
class Mixture:
    """Shares of what a corpus draws; the rest are single chats without thinking."""

    code_share: float = 0.05
    prose_share: float = 0.02
    thinking_share: float = 0.12  # of the chats whose task has worked steps
    turns_share: float = 0.1  # of the chats


@dataclass(frozen=True)
class DataOptions(Mixture):
    """The mixture and the shape of a batch."""

    rows: int = 32
    row_length: int = 256


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
    start_from: str | None = None  # a checkpoint folder, relative to the project: its weights and tokenizer
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataOptions = field(default_factory=DataOptions)
    noise: NoiseOptions = field(default_factory=NoiseOptions)
    optim: OptimOptions = field(default_factory=OptimOptions)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a YAML file. Raises ValueError that names an unknown key."""
        import yaml  # here, because a machine that trains from an archive does not need it

        return cls.of(yaml.safe_load(path.read_text()), path.name)

    @classmethod
    def of(cls, values: dict[str, Any], where: str) -> Self:
        """Build from nested dictionaries, as `dataclasses.asdict` gives them. Raises ValueError with `where` in it."""
        built: Self = _build(cls, values, where)
        return built


def _build(kind: Any, values: dict[str, Any], where: str) -> Any:
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = set(values) - set(fields)
    if unknown:
        raise ValueError(f"{where}: unknown key {sorted(unknown)[0]!r}; known: {', '.join(fields)}")
    parts = {"model": ModelConfig, "data": DataOptions, "noise": NoiseOptions, "optim": OptimOptions}
    made = {
        name: _build(parts[name], value, f"{where}: {name}")
        if name in parts and isinstance(value, dict)
        else tuple(value)
        if isinstance(value, list)
        else value
        for name, value in values.items()
    }
    return kind(**made)

"""Where a run's first weights come from: random, a checkpoint, another run; and which of them are trained.

Knows names and shapes of tensors. Knows nothing about steps.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import torch
from torch import Tensor

from ..data.recipe import OptimOptions, Recipe
from ..model import shards
from ..model.model import EMBEDDING, HEAD, SEEING, Model
from . import resumable

SPARE_ID = 127
"""A filler of the vocabulary, which no text has: a row that a larger vocabulary adds begins as a copy of its row."""
FREE = ("block_size", "initializer_range")
"""Settings of a model that a checkpoint of the Llama family says nothing of."""
VOCABULARY = (EMBEDDING, HEAD)


def load_checkpoint(model: Model, folder: Path) -> None:
    """Give a model the weights of a checkpoint folder; what that lacks of a tower and a projector stays random.

    Raises ValueError that names a tensor which is missing, unknown or of another shape. A vocabulary may be smaller by
    rows that are added.
    """
    found = {name: tensor.float() for name, tensor in shards.load(folder).items()}
    own = model.state_dict()
    for name in VOCABULARY:
        if len(found.get(name, ())) and (more := len(own[name]) - len(found[name])) > 0:
            found[name] = torch.cat([found[name], found[name][SPARE_ID].expand(more, -1)])
    missing = [name for name in model.stored() if name not in found and not name.startswith(SEEING)]
    _copy(model, found, str(folder))
    if missing:
        raise ValueError(f"{folder}: has no {missing[0]}")


def load_other(model: Model, path: Path) -> None:
    """Give a model the weights of a checkpoint of the Llama family.

    Raises ValueError that names the setting of `model` in which the recipe and the checkpoint differ.
    """
    from ..model.base import load_base  # here, because a machine that trains from an archive has no converter

    base = load_base(path)
    for name, value in dataclasses.asdict(base.config).items():
        own = getattr(model.config, name)
        alike = math.isclose(own, value, rel_tol=1e-6) if isinstance(value, float) else own == value  # GGUF has float32
        if name not in FREE and not alike:
            raise ValueError(f"{path}: model.{name} is {own} in the recipe, the checkpoint has {value}")
    model.load_state_dict(base.state_dict())


def load_run(model: Model, path: Path, taken: tuple[str, ...]) -> None:
    """Give a model the weights of another run's state whose names begin with one of `taken`, or all without it.

    Raises ValueError where there is no such state or no such weight.
    """
    if not path.exists():
        raise ValueError(f"{path}: not there; the run whose weights are taken comes first")
    weights: dict[str, Tensor] = resumable.load(path)["model"]
    found = {name: tensor for name, tensor in weights.items() if name.startswith(taken or "")}
    for beginning in taken:
        if not any(name.startswith(beginning) for name in found):
            raise ValueError(f"{path}: has no weight whose name begins with {beginning!r}")
    _copy(model, found, str(path))


def _copy(model: Model, found: dict[str, Tensor], where: str) -> None:
    own = model.state_dict()
    for name, tensor in found.items():
        if name not in own or own[name].shape != tensor.shape:
            have = tuple(own[name].shape) if name in own else "no such tensor"
            raise ValueError(f"{where}: {name} is {tuple(tensor.shape)}, the model has {have}")
    model.load_state_dict(found, strict=False)


def first_weights(model: Model, recipe: Recipe, root: Path, runs: Path) -> None:
    """Give a model the weights that its recipe names: of a checkpoint under `root`, then of a run under `runs`."""
    if recipe.start_from and recipe.answers_of:
        load_other(model, root / recipe.start_from)
    elif recipe.start_from:
        load_checkpoint(model, root / recipe.start_from)
    if recipe.weights_of:
        load_run(model, runs / recipe.weights_of / "latest.pt", recipe.taken)


def freeze(model: Model, beginnings: tuple[str, ...]) -> None:
    """Keep the weights whose names begin so as they are. Raises ValueError for a beginning that no weight has."""
    for beginning in beginnings:
        chosen = [p for name, p in model.named_parameters() if name.startswith(beginning)]
        if not chosen:
            raise ValueError(f"frozen: no weight's name begins with {beginning!r}")
        for parameter in chosen:
            parameter.requires_grad_(False)


def muon(matrices: list[Tensor], options: OptimOptions) -> torch.optim.Optimizer:
    """Return the optimiser of the layers' matrices, its updates as large as AdamW's, so that it takes such rates."""
    return torch.optim.Muon(
        matrices, lr=options.muon_lr, weight_decay=options.weight_decay, adjust_lr_fn="match_rms_adamw"
    )


def optimisers_of(model: Model, options: OptimOptions) -> list[tuple[torch.optim.Optimizer, float]]:
    """Return the optimisers of all weights that are not frozen, each with its peak rate."""
    layers = [*model.encoder.layers.parameters()]
    if model.config.vision:
        layers += [*model.encoder.vision_tower.transformer.parameters()]
        layers += [*model.encoder.multi_modal_projector.parameters()]
    matrices = [p for p in layers if p.dim() == 2 and p.requires_grad]
    ours = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in ours and p.requires_grad]
    adam = torch.optim.AdamW(others, lr=options.adam_lr, betas=(0.9, 0.98), weight_decay=0.01)
    return [*([(muon(matrices, options), options.muon_lr)] if matrices else []), (adam, options.adam_lr)]

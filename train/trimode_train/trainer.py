"""The training loop: batches by step number, two optimisers, a schedule by time, checkpoints, evaluation."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from trimode_train import checkpointing
from trimode_train.clock import Clock
from trimode_train.corpus import Corpus
from trimode_train.evaluate import Question, score_autoregressive, score_diffusion
from trimode_train.model import Model
from trimode_train.muon import Muon
from trimode_train.objective import Losses, Tensors, encode, losses, second_look, training_mask
from trimode_train.packing import Batch, pack, plan
from trimode_train.recipe import OptimOptions, Recipe
from trimode_train.report import Reporter


def learning_rate(progress: float, options: OptimOptions) -> float:
    """Factor on the peak rate: linear warm-up, flat, linear decay to zero."""
    if progress < options.warmup:
        return progress / options.warmup
    if progress < options.decay_from:
        return 1.0
    return max(0.0, (1 - progress) / (1 - options.decay_from))


def batch_for(number: int, corpus: Corpus, recipe: Recipe) -> Batch:
    """A fresh batch: depends on the seed and its number only."""
    rng = Random(f"{recipe.seed} batch {number}")
    planned, size = [], 0
    while size < recipe.data.rows * recipe.data.row_length:
        planned.append(plan(corpus.document(rng), rng, recipe.noise, recipe.data.row_length))
        size += planned[-1].size
    return pack(planned, recipe.data.rows, recipe.data.row_length, rng, recipe.noise)


class Trainer:
    """A model, its optimisers and where it is in its run."""

    def __init__(self, recipe: Recipe, corpus: Corpus, clock: Clock, folder: Path, reporter: Reporter) -> None:
        self.recipe, self.corpus, self.clock, self.folder, self.reporter = recipe, corpus, clock, folder, reporter
        torch.manual_seed(recipe.seed)
        self.model = Model(recipe.model).to(recipe.device)
        self.step, self.tokens, self.drawn = 0, 0, 0  # updates, tokens, batches drawn from the corpus
        options = recipe.optim
        matrices = [p for p in self.model.encoder.layers.parameters() if p.dim() == 2]
        ours = {id(p) for p in matrices}
        others = [p for p in self.model.parameters() if id(p) not in ours]
        self.optimisers: list[tuple[torch.optim.Optimizer, float]] = [
            (
                Muon(matrices, lr=options.muon_lr, weight_decay=options.weight_decay),
                options.muon_lr,
            ),
            (
                torch.optim.AdamW(others, lr=options.adam_lr, betas=(0.9, 0.98), weight_decay=0.01),
                options.adam_lr,
            ),
        ]
        self.encode: Callable[[Model, Tensor, Tensor, Tensor | BlockMask], Tensor] = encode
        if recipe.compile:
            self.encode = torch.compile(encode, dynamic=False)
        self.stopping = False
        self.looked_at: tuple[Tensors, Tensor] | None = None  # the last fresh batch, and how sure the model was of it

    # -- state -------------------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The resumable checkpoint."""
        return self.folder / "latest.pt"

    def start_from(self, folder: Path) -> None:
        """Begin with the weights of a checkpoint folder instead of random ones."""
        weights = load_file(folder / "model.safetensors")
        self.model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})

    def save(self) -> None:
        """Write the resumable checkpoint."""
        checkpointing.save(
            self.path,
            {
                "step": self.step,
                "tokens": self.tokens,
                "elapsed": self.clock.elapsed,
                "config": self.recipe.model.to_official(),
                "model": self.model.state_dict(),
                "optimisers": [optimiser.state_dict() for optimiser, _ in self.optimisers],
                "drawn": self.drawn,
                "looked_at": self.looked_at and [*vars(self.looked_at[0]).values(), self.looked_at[1]],
            },
        )

    def resume(self) -> None:
        """Continue from the resumable checkpoint."""
        state: dict[str, Any] = checkpointing.load(self.path)
        self.model.load_state_dict(state["model"])
        for (optimiser, _), saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.tokens, self.clock.elapsed = state["step"], state["tokens"], state["elapsed"]
        self.drawn = state["drawn"]
        if state["looked_at"]:
            *fields, sure = (tensor.to(self.recipe.device) for tensor in state["looked_at"])
            self.looked_at = Tensors(*fields), sure

    # -- steps -------------------------------------------------------------------------------------------------------

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.recipe.device, torch.bfloat16) if self.recipe.bfloat16 else nullcontext()

    def train_step(self, tensors: Tensors) -> Losses:
        """One update."""
        factor = learning_rate(self.clock.progress, self.recipe.optim)
        for optimiser, peak in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = peak * factor
        dtype = torch.bfloat16 if self.recipe.bfloat16 else torch.float32
        with self._autocast():
            mask = training_mask(tensors, dtype)
            hidden = self.encode(self.model, tensors.ids, tensors.positions, mask)
            result = losses(self.model, hidden, tensors, self.recipe.noise.wrong_weight)
        result.total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optim.clip)
        for optimiser, _ in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += int((tensors.document >= 0).sum())
        return result

    def _second_look(self) -> Tensors | None:
        """The last fresh batch a denoising pass later, if the recipe asks for it and it was not had yet."""
        if self.looked_at is None:
            return None
        (tensors, sure), self.looked_at = self.looked_at, None
        random = torch.Generator().manual_seed(hash((self.recipe.seed, self.step)))
        return second_look(tensors, sure, self.recipe.noise.diffusion_weight, random)

    def run(self, asked: list[Question], max_steps: int | None = None) -> None:
        """Train until the clock, a step limit or a signal ends it; saves at the end."""
        handlers = {s: signal.signal(s, self._stop) for s in (signal.SIGTERM, signal.SIGINT)}
        saved = evaluated = time.monotonic()
        try:
            with ThreadPoolExecutor(1) as ahead:
                coming = ahead.submit(batch_for, self.drawn, self.corpus, self.recipe)
                while not self.stopping and self.clock.left > 0 and (max_steps is None or self.step < max_steps):
                    began = time.monotonic()
                    tensors = self._second_look()
                    if fresh := tensors is None:
                        tensors = Tensors.of(coming.result(), self.recipe.device)
                        self.drawn += 1
                        coming = ahead.submit(batch_for, self.drawn, self.corpus, self.recipe)
                    result = self.train_step(tensors)
                    if fresh and self.recipe.noise.second_look:
                        self.looked_at = tensors, result.sure
                    next_token, masked = float(result.next_token), float(result.masked)
                    seconds = time.monotonic() - began
                    self.clock.step(seconds)
                    self.reporter.step(self.step, self.clock.progress, next_token, masked, tensors.ids.numel(), seconds)
                    if time.monotonic() - saved > 60 * self.recipe.save_minutes:
                        self.save()
                        saved = time.monotonic()
                    if asked and time.monotonic() - evaluated > 60 * self.recipe.evaluate_minutes:
                        began = time.monotonic()
                        self.evaluate(asked)
                        evaluated = time.monotonic()
                        self.clock.elapsed += min(evaluated - began, 60)  # evaluation is part of the run's time
            self.save()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def evaluate(self, asked: list[Question]) -> None:
        """Report exact match of greedy decoding on all questions, of diffusion on every eighth."""
        self.model.eval()
        ar = score_autoregressive(self.model, asked)
        diffused = score_diffusion(self.model, asked[::8], self.recipe.model.block_size)
        self.model.train()
        self.reporter.scores(self.step, ar, diffused)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

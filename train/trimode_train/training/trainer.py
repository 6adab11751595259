"""The training loop: batches by their numbers, two optimisers, a schedule by time, checkpoints, evaluation.

Knows the order of a run's work. Does not know how a row, a loss or an update is made.
"""

from __future__ import annotations

import itertools
import json
import signal
import time
from collections.abc import Callable, Iterator, Sized
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from ..data.batches import Batches
from ..data.packing import Batch, Documents
from ..data.recipe import OptimOptions, Recipe
from ..evaluation.scores import Question, score_autoregressive, score_diffusion
from ..model import shards
from ..model.model import Model
from . import resumable
from .clock import Clock
from .objective import Losses, Tensors, encode, losses, second_look, training_mask
from .report import Reporter
from .start import freeze, load_checkpoint, optimisers_of


def learning_rate(progress: float, options: OptimOptions) -> float:
    """Return the factor on the peak rate: linear warm-up, flat, linear decay to zero."""
    if progress < options.warmup:
        return progress / options.warmup
    if progress < options.decay_from:
        return 1.0
    return max(0.0, (1 - progress) / (1 - options.decay_from))


def as_torchs(optimiser: torch.optim.Optimizer, saved: dict[str, Any]) -> dict[str, Any]:
    """Return an optimiser's saved state as torch has it: older runs have a Muon of this project, with its names."""
    if not isinstance(optimiser, torch.optim.Muon):
        return saved
    names = {"momentum": "momentum_buffer"}
    state = {
        number: {names.get(name, name): value for name, value in one.items()} for number, one in saved["state"].items()
    }
    return {"state": state, "param_groups": [{**optimiser.defaults, **group} for group in saved["param_groups"]]}


class Trainer:
    """A model, its optimisers and how far its run is."""

    def __init__(self, recipe: Recipe, corpus: Documents, clock: Clock, folder: Path, reporter: Reporter) -> None:
        self.recipe, self.corpus, self.clock, self.folder, self.reporter = recipe, corpus, clock, folder, reporter
        torch.manual_seed(recipe.seed)
        self.model = Model(recipe.model).to(recipe.device)
        self.step, self.tokens = 0, 0  # updates, tokens
        self.drawn, self.documents = 0, 0  # batches drawn from the corpus, documents in them
        self.real = 0  # tokens of the last new batch that are not filling
        freeze(self.model, recipe.frozen)
        self.optimisers = optimisers_of(self.model, recipe.optim)
        self.encode: Callable[..., Tensor] = encode
        self.mask: Callable[[Tensors, torch.dtype], Tensor | BlockMask] = training_mask
        if recipe.compile:
            self.encode = torch.compile(encode, dynamic=False)
            if self.on_gpu:  # elsewhere the mask is dense, and compiling would slow it down
                self.mask = torch.compile(training_mask, dynamic=False)
        if self.on_gpu and recipe.peak_tflops:
            looked_up = 0 if recipe.model.tied else self.model.encoder.embed_tokens.weight.numel()
            multiplied = sum(p.numel() for p in self.model.parameters()) - looked_up
            reporter.peak_speed = (
                recipe.peak_tflops * 1e12 / (6 * multiplied)
            )  # forward 2, backward 4 a weight and token
        self.stopping = False
        self.looked_at: tuple[Tensors, Tensor] | None = None  # the last new batch, and how sure the model was of it

    # -- state -------------------------------------------------------------------------------------------------------

    @property
    def on_gpu(self) -> bool:
        """Whether the model is on an NVIDIA GPU."""
        return self.recipe.device == "cuda"

    @property
    def path(self) -> Path:
        """The resumable checkpoint."""
        return self.folder / "latest.pt"

    def start_from(self, folder: Path) -> None:
        """Begin with the weights of a checkpoint folder, not with random ones."""
        load_checkpoint(self.model, folder)

    @property
    def progress(self) -> float:
        """The share of the run that is done, by its time or its documents, whichever is further."""
        documents = self.documents / self.recipe.documents if self.recipe.documents else 0.0
        return min(1.0, max(self.clock.progress, documents))

    def _place(self) -> dict[str, Any]:
        """How far the run is, and what it trains."""
        return {
            "recipe": self.recipe.name,
            "start_from": self.recipe.start_from,
            "weights_of": self.recipe.weights_of,
            "answers_of": self.recipe.answers_of,
            "step": self.step,
            "tokens": self.tokens,
            "elapsed": self.clock.elapsed,
            "drawn": self.drawn,
            "documents": self.documents,
            "config": self.recipe.model.to_official(),
        }

    def _return_to(self, place: dict[str, Any]) -> None:
        self.step, self.tokens, self.clock.elapsed = place["step"], place["tokens"], place["elapsed"]
        self.drawn, self.documents = place["drawn"], place.get("documents", 0)

    def save(self) -> None:
        """Write the resumable checkpoint."""
        resumable.save(
            self.path,
            {
                **self._place(),
                "model": self.model.state_dict(),
                "optimisers": [optimiser.state_dict() for optimiser, _ in self.optimisers],
                "looked_at": self.looked_at and [*self.looked_at[0].text, self.looked_at[1]],
            },
        )

    def resume(self) -> None:
        """Continue from the resumable checkpoint."""
        state: dict[str, Any] = resumable.load(self.path)
        self.model.load_state_dict(state["model"])
        for (optimiser, _), saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(as_torchs(optimiser, saved))
        self._return_to(state)
        if state["looked_at"]:
            *fields, sure = (tensor.to(self.recipe.device) for tensor in state["looked_at"])
            self.looked_at = Tensors(*fields), sure
            self.real = int((self.looked_at[0].document >= 0).sum())

    def save_shards(self, folder: Path) -> None:
        """Write the weights in small files, and how far the run is; not the optimisers' state, three times as large."""
        folder.mkdir(parents=True, exist_ok=True)
        shards.save(self.model.stored(), folder)
        (folder / shards.STATE).write_text(json.dumps(self._place(), indent=2) + "\n")

    def load_shards(self, folder: Path) -> None:
        """Continue from what `save_shards` wrote: schedule and batches continue, optimisers start from zero."""
        self.start_from(folder)
        self._return_to(json.loads((folder / shards.STATE).read_text()))

    # -- steps -------------------------------------------------------------------------------------------------------

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.recipe.device, torch.bfloat16) if self.recipe.bfloat16 else nullcontext()

    def train_step(self, tensors: Tensors) -> Losses:
        """Make one update."""
        factor = learning_rate(self.progress, self.recipe.optim)
        for optimiser, peak in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = peak * factor
        dtype = torch.bfloat16 if self.recipe.bfloat16 else torch.float32
        mask = self.mask(tensors, dtype)
        with self._autocast():
            hidden = self.encode(self.model, tensors.ids, tensors.positions, mask, tensors.pictures)
            result = losses(self.model, hidden, tensors, self.recipe.noise.wrong_weight)
        result.total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optim.clip)
        for optimiser, _ in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += self.real
        return result

    def _to_device(self, batch: Batch) -> Tensors:
        """Copy a batch to the device; a GPU fetches it while it still works on the step before."""
        return Tensors.of(batch, self.recipe.device, pinned=self.on_gpu)

    def _fresh(self, batches: Batches) -> Tensors:
        """Take the next batch and count its tokens here, so that the device need not be asked."""
        batch = next(batches)
        self.drawn += 1
        self.documents += int((batch.document.max(axis=1) + 1).sum())
        self.real = int((batch.document >= 0).sum())
        return self._to_device(batch)

    @property
    def epochs(self) -> float | None:
        """How often a document of the corpus was seen on average, if the corpus has a size."""
        return self.documents / len(self.corpus) if isinstance(self.corpus, Sized) else None

    def _second_look(self) -> Tensors | None:
        """Return the last new batch one denoising pass later, if the recipe asks for it and no step has seen it."""
        if self.looked_at is None:
            return None
        (tensors, sure), self.looked_at = self.looked_at, None
        random = torch.Generator().manual_seed(hash((self.recipe.seed, self.step)))
        return second_look(tensors, sure, self.recipe.noise.diffusion_weight, random)

    def run(self, asked: list[Question], max_steps: int | None = None) -> None:
        """Train until the clock, a step limit or a signal ends the run; save at the end."""
        handlers = {s: signal.signal(s, self._stop) for s in (signal.SIGTERM, signal.SIGINT)}
        saved = evaluated = time.monotonic()
        try:
            with Batches(self.corpus, self.recipe, self.drawn) as batches:
                while not self.stopping and self.progress < 1 and (max_steps is None or self.step < max_steps):
                    began = time.monotonic()
                    tensors = self._second_look()
                    if fresh := tensors is None:
                        tensors = self._fresh(batches)
                    result = self.train_step(tensors)
                    if fresh and self.recipe.noise.second_look:
                        self.looked_at = tensors, result.sure
                    seconds = time.monotonic() - began
                    self.clock.step(seconds)
                    done, size = self.progress, tensors.ids.numel()
                    self.reporter.step(self.step, done, result.next_token, result.masked, size, seconds, self.epochs)
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
        """Report the exact match of greedy decoding on all questions, and of diffusion on every eighth.

        A run that is to stop leaves the rest of the questions out, and reports nothing.
        """
        self.model.eval()
        ar = score_autoregressive(self.model, asked)
        diffused = score_diffusion(self.model, self._until_stopped(asked[::8]), self.recipe.model.block_size)
        self.model.train()
        if not self.stopping:
            self.reporter.scores(self.step, ar, diffused)

    def _until_stopped(self, asked: list[Question]) -> Iterator[Question]:
        return itertools.takewhile(lambda _: not self.stopping, asked)

    def stop(self) -> None:
        """End the run after the current step and save its state; may be called from another thread."""
        self.stopping = True

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stop()

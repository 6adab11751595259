"""The run that trains a draft adapter: steps, saved states, measurements, the best adapter's files.

Knows no data: a subclass gives batches and their losses, and measures drafts.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ..model import lora
from ..model.checkpoint import TRAINING, write_json
from ..model.model import Model
from ..training import resumable
from ..training.bar import Bar
from ..training.clock import Clock
from ..training.trainer import learning_rate
from .draft_objective import DraftLosses
from .recipe import AdapterRecipe

LONGEST_EVALUATION = 60.0
"""Seconds; what a measurement takes longer does not count as the run's time."""
SAID_EVERY = 20.0
"""Seconds between two lines of the log."""
BatchT = TypeVar("BatchT")
AskedT = TypeVar("AskedT")


class AdapterRun(Generic[BatchT, AskedT]):
    """A frozen model, its adapter, and how far the adapter's training is."""

    def __init__(self, recipe: AdapterRecipe, model: Model, clock: Clock, folder: Path, bar: Bar) -> None:
        self.recipe, self.model, self.clock, self.bar = recipe, model.eval(), clock, bar
        self.folder, self.path = folder, folder / "latest.pt"
        torch.manual_seed(recipe.seed)
        self.rates = self.attach()
        self.parameters = [parameter for parameter, _ in self.rates]
        groups = [{"params": [parameter], "factor": factor} for parameter, factor in self.rates]
        self.optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=recipe.optim.weight_decay)
        self.step = self.tokens = 0
        self.base_per_cycle: float | None = None  # measured without the adapter
        self.best_per_cycle, self.best_step = 0.0, 0
        self.growth: list[tuple[int, float]] = []  # noisy tokens so far, tokens per cycle then
        self.best: dict[str, Tensor] = {}
        self.stopping = False

    # -- what a subclass gives -----------------------------------------------------------------------------------------

    def attach(self) -> list[tuple[Tensor, float]]:
        """Give the model what is trained; return it, each with a factor on the learning rate."""
        lora.attach(self.model, self.recipe.rank, self.recipe.alpha)
        return [(parameter, 1.0) for parameter in lora.weights(self.model).values()]

    def batches(self) -> AbstractContextManager[Iterator[BatchT]]:
        """Return the batches from number `self.step` on."""
        raise NotImplementedError

    def losses(self, batch: BatchT) -> DraftLosses:
        """Run a batch."""
        raise NotImplementedError

    def tokens_of(self, batch: BatchT) -> int:
        """Return how many noisy tokens a batch has."""
        raise NotImplementedError

    def per_cycle(self, asked: list[AskedT], adapter: bool) -> float:
        """Return how many tokens a linear draft and its verification give."""
        raise NotImplementedError

    # -- state ---------------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the resumable state."""
        state = {
            "step": self.step,
            "tokens": self.tokens,
            "elapsed": self.clock.elapsed,
            "adapter": lora.snapshot(self.model),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
            "best_per_cycle": self.best_per_cycle,
            "best_step": self.best_step,
            "base_per_cycle": self.base_per_cycle,
            "growth": self.growth,
        }
        resumable.save(self.path, state)

    def resume(self) -> None:
        """Continue from the resumable state."""
        state = resumable.load(self.path)
        lora.restore(self.model, state["adapter"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.tokens, self.clock.elapsed = state["step"], state["tokens"], state["elapsed"]
        self.best, self.best_per_cycle = state["best"], state["best_per_cycle"]
        self.best_step = state["best_step"]
        self.base_per_cycle, self.growth = state["base_per_cycle"], state.get("growth", [])

    # -- steps ---------------------------------------------------------------------------------------------------------

    def train_step(self, batch: BatchT) -> DraftLosses:
        """Update the adapter once."""
        rate = self.recipe.optim.adam_lr * learning_rate(self.clock.progress, self.recipe.optim)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]
        result = self.losses(batch)
        result.total.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.optim.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += self.tokens_of(batch)
        return result

    def evaluate(self, asked: list[AskedT]) -> None:
        """Measure tokens per cycle, and keep the adapter if it is the best so far."""
        if self.base_per_cycle is None:
            self.base_per_cycle = self.per_cycle(asked, adapter=False)
            self.growth.append((0, self.base_per_cycle))
        now = self.per_cycle(asked, adapter=True)
        self.growth.append((self.tokens, now))
        if now > max(self.best_per_cycle, self.base_per_cycle):
            self.best, self.best_per_cycle, self.best_step = lora.snapshot(self.model), now, self.step
            self.write(self.folder)  # a run that is killed leaves its best adapter
        self.bar.print(f"step {self.step}  tokens per cycle {now:.3f}, without adapter {self.base_per_cycle:.3f}")
        self._record(tokens_per_cycle=now, without_adapter=self.base_per_cycle)

    def run(self, asked: list[AskedT], max_steps: int | None = None) -> None:
        """Train until the clock, a step limit or a signal ends the run, then save. Measures on `asked`, if any."""
        handlers = {s: signal.signal(s, self._stop) for s in (signal.SIGTERM, signal.SIGINT)}
        saved = evaluated = said = time.monotonic()
        try:
            with self.batches() as batches:
                while not self.stopping and self.clock.left > 0 and (max_steps is None or self.step < max_steps):
                    began = time.monotonic()
                    result = self.train_step(next(batches))
                    self.clock.step(time.monotonic() - began)
                    now = time.monotonic()
                    said = self._say(result, said, now)
                    if now - saved > 60 * self.recipe.save_minutes:
                        saved = now
                        self.save()
                    if asked and now - evaluated > 60 * self.recipe.evaluate_minutes:
                        self.evaluate(asked)
                        evaluated = time.monotonic()
                        self.clock.elapsed += min(evaluated - now, LONGEST_EVALUATION)  # is part of the run's time
            if asked and not self.stopping:
                self.evaluate(asked)
            self.save()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def export(self, checkpoint: Path) -> None:
        """Write the best adapter that was measured, and its entry in `training.json`."""
        self.write(checkpoint)
        path = checkpoint / TRAINING
        facts = json.loads(path.read_text()) if path.exists() else {}
        facts["draft_adapter"] = {
            "rank": self.recipe.rank,
            "alpha": self.recipe.alpha,
            "steps": self.best_step,
            "minutes": round(self.clock.elapsed / 60, 1),
            "tokens": self.tokens,
            "growth": [[tokens, round(per_cycle, 3)] for tokens, per_cycle in self.growth],
        }
        write_json(path, facts)

    def write(self, folder: Path) -> None:
        """Write the best adapter that was measured into `folder`, in the recipe's type."""
        dtype = getattr(torch, self.recipe.stored)
        shape = (self.recipe.rank, self.recipe.alpha)
        lora.save(self.best, *shape, folder, mask_id=self.model.config.mask_id, dtype=dtype)

    def _say(self, result: DraftLosses, said: float, now: float) -> float:
        """Show how far the run is; return when a line was last written."""
        distance, accepted = float(result.distance), float(result.accepted)
        line = f"step {self.step}  distance {distance:.3f}  accepted {accepted:.1%}"
        self.bar.update(self.clock.progress, line)
        if now - said <= SAID_EVERY:
            return said
        if not self.bar.is_shown:
            self.bar.print(f"{time.strftime('%H:%M:%S')} {self.clock.progress:6.1%}  {line}")
        self._record(distance=distance, accepted=accepted)
        return now

    def _record(self, **values: float) -> None:
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps({"step": self.step, "tokens": self.tokens, **values}) + "\n")

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

"""`python -m trimode_train.adapter.draft_adapter RECIPE`: trains a draft adapter and writes it into its checkpoint.

The base model is frozen. The adapter is on for drafts only, so it changes how much of a draft is right, never the text.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor

from ..data.batches import Batches
from ..data.chat import render
from ..data.corpus import Corpus
from ..data.packing import Documents
from ..data.recipe import Recipe
from ..data.tokenizer import load_tokenizer
from ..evaluation.decode import Decoded, self_speculation
from ..evaluation.scores import MAX_NEW, Question, by_domain, questions
from ..model import lora
from ..model.checkpoint import TRAINING, load_model, write_json
from ..model.model import Model, bias_from
from ..prepare import ROOT, RUNS
from ..training import resumable
from ..training.bar import Bar
from ..training.clock import Clock, wall_clock
from ..training.objective import Tensors, visibility
from ..training.trainer import learning_rate
from .draft_objective import DraftLosses, Drafts, draft_losses, encode_drafts
from .own_text import own_text


@dataclass(frozen=True)
class AdapterRecipe(Recipe):
    """A recipe with the adapter's shape and loss. Its model is the checkpoint's; AdamW updates the adapter."""

    start_from: str = "checkpoints/nano"
    rank: int = 32
    alpha: int = 128
    documents: int = 4000  # that the model answers before the adapter's training begins
    temperature: float = 1.0  # of both distributions in the hybrid loss
    behind: float = 0.5  # a position k after the first rejected one weighs `behind` ** k


def tokens_per_cycle(model: Model, asked: list[Question], adapter: bool) -> float:
    """Return how many tokens a draft and its verification give in greedy self-speculation, over all questions."""

    def one(question: Question) -> tuple[bool, Decoded]:
        decoded = self_speculation(model, question.prompt, MAX_NEW, model.config.block_size, adapter)
        return decoded.ids == question.reply, decoded

    return by_domain(asked, one)["all"].per_block


class AdapterRun:
    """A frozen model, its adapter, and how far the adapter's training is."""

    def __init__(
        self, recipe: AdapterRecipe, model: Model, corpus: Documents, clock: Clock, folder: Path, bar: Bar
    ) -> None:
        self.recipe, self.model, self.corpus, self.clock, self.bar = recipe, model.eval(), corpus, clock, bar
        self.folder, self.path = folder, folder / "latest.pt"
        torch.manual_seed(recipe.seed)
        lora.attach(self.model, recipe.rank, recipe.alpha)
        self.parameters = list(lora.weights(self.model).values())
        self.optimiser = torch.optim.AdamW(self.parameters, betas=(0.9, 0.98), weight_decay=recipe.optim.weight_decay)
        self.encode: Callable[[Model, Tensor, Tensor, Tensor, Tensor], Tensor] = encode_drafts
        if recipe.compile:
            self.encode = torch.compile(encode_drafts, dynamic=False)
        self.step = self.tokens = 0
        self.base_per_cycle: float | None = None  # measured without the adapter
        self.best_per_cycle, self.best_step = 0.0, 0
        self.best: dict[str, Tensor] = {}
        self.stopping = False

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
        self.base_per_cycle = state["base_per_cycle"]

    def train_step(self, t: Tensors) -> DraftLosses:
        """Update the adapter once."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.optim.adam_lr * learning_rate(self.clock.progress, self.recipe.optim)
        dtype = torch.bfloat16 if self.recipe.bfloat16 else torch.float32
        with torch.autocast(self.recipe.device, dtype) if self.recipe.bfloat16 else nullcontext():
            on = (t.block > 0)[..., None].to(dtype)  # (rows, length, 1): clean keys and values stay the base's
            hidden = self.encode(self.model, t.ids, t.positions, bias_from(visibility(t), dtype), on)
            drafts = Drafts.of(t, max(self.recipe.noise.block_lengths))
            result = draft_losses(self.model, hidden, drafts, self.recipe.temperature, self.recipe.behind)
        result.total.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.optim.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += int((t.block > 0).sum())
        return result

    def evaluate(self, asked: list[Question]) -> None:
        """Measure tokens per cycle, and keep the adapter if it is the best so far."""
        if self.base_per_cycle is None:
            self.base_per_cycle = tokens_per_cycle(self.model, asked, adapter=False)
        now = tokens_per_cycle(self.model, asked, adapter=True)
        if now > max(self.best_per_cycle, self.base_per_cycle):
            self.best, self.best_per_cycle, self.best_step = lora.snapshot(self.model), now, self.step
        self.bar.print(f"step {self.step}  tokens per cycle {now:.3f}, without adapter {self.base_per_cycle:.3f}")
        self._record(step=self.step, tokens_per_cycle=now, without_adapter=self.base_per_cycle)

    def run(self, asked: list[Question], max_steps: int | None = None) -> None:
        """Train until the clock, a step limit or a signal ends the run, then save. Measures on `asked`, if any."""
        handlers = {s: signal.signal(s, self._stop) for s in (signal.SIGTERM, signal.SIGINT)}
        saved = evaluated = said = time.monotonic()
        try:
            with Batches(self.corpus, self.recipe, self.step) as batches:
                while not self.stopping and self.clock.left > 0 and (max_steps is None or self.step < max_steps):
                    began = time.monotonic()
                    result = self.train_step(Tensors.of(next(batches), self.recipe.device))
                    self.clock.step(time.monotonic() - began)
                    distance, accepted = float(result.distance), float(result.accepted)
                    line = f"step {self.step}  distance {distance:.3f}  accepted {accepted:.1%}"
                    self.bar.update(self.clock.progress, line)
                    now = time.monotonic()
                    if now - said > 20:
                        said = now
                        if not self.bar.is_shown:
                            self.bar.print(f"{time.strftime('%H:%M:%S')} {self.clock.progress:6.1%}  {line}")
                        self._record(step=self.step, distance=distance, accepted=accepted)
                    if now - saved > 60 * self.recipe.save_minutes:
                        saved = now
                        self.save()
                    if asked and now - evaluated > 60 * self.recipe.evaluate_minutes:
                        self.evaluate(asked)
                        evaluated = time.monotonic()
                        self.clock.elapsed += min(evaluated - now, 60)  # evaluation is part of the run's time
            if asked and not self.stopping:
                self.evaluate(asked)
            self.save()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def export(self, checkpoint: Path) -> None:
        """Write the best adapter that was measured, and its entry in `training.json`."""
        lora.save(self.best, self.recipe.rank, self.recipe.alpha, checkpoint)
        path = checkpoint / TRAINING
        facts = json.loads(path.read_text()) if path.exists() else {}
        facts["draft_adapter"] = {
            "rank": self.recipe.rank,
            "alpha": self.recipe.alpha,
            "steps": self.best_step,
            "minutes": round(self.clock.elapsed / 60, 1),
            "tokens": self.tokens,
        }
        write_json(path, facts)

    def _record(self, **values: float) -> None:
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(values) + "\n")

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True


def unpublished(asked: list[Question], checkpoint: Path) -> list[Question]:
    """Return the questions not in the checkpoint's heldout.jsonl: what judges an adapter later must not choose it."""
    published = (checkpoint / "heldout.jsonl").read_text() if (checkpoint / "heldout.jsonl").exists() else ""
    tokenizer = load_tokenizer(checkpoint)
    records = [json.loads(line) for line in published.splitlines()]
    prompts = {tuple(tokenizer.encode(render(r["messages"])).ids) for r in records if "messages" in r}
    return [question for question in asked if tuple(question.prompt) not in prompts]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m trimode_train.adapter.draft_adapter",
        description="Train a draft adapter and write it into its checkpoint.",
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="the run's YAML file")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="the checkpoint, in place of the recipe's")
    parser.add_argument("--resume", action="store_true", help="continue the run's latest state, if there is one")
    parser.add_argument("--minutes", type=float, help="length of the schedule, in place of the recipe's")
    parser.add_argument("--until", type=wall_clock, metavar="HH:MM", help="end the schedule by this hour at the latest")
    parser.add_argument(
        "--steps", type=int, metavar="N", help="stop after so many steps, without measuring or writing an adapter"
    )
    parser.add_argument("--no-compile", action="store_true", help="do not compile the model")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder [train/runs/<recipe's name>]")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, 1 if no adapter was written."""
    options = _parse(arguments)
    recipe = AdapterRecipe.load(options.recipe)
    checkpoint = options.checkpoint or ROOT / recipe.start_from
    model = load_model(checkpoint).to(recipe.device)
    recipe = dataclasses.replace(
        recipe,
        minutes=options.minutes or recipe.minutes,
        compile=recipe.compile and not options.no_compile,
        model=model.config,
    )
    torch.set_num_threads(recipe.threads)
    folder = options.out or RUNS / recipe.name
    folder.mkdir(parents=True, exist_ok=True)

    bar, began = Bar("training"), time.monotonic()
    try:
        corpus = Corpus(load_tokenizer(checkpoint), recipe.data)
        asked = [] if options.steps else unpublished(questions(corpus, per_domain=5, seed=11), checkpoint)
        pool = own_text(model, corpus, recipe.documents, recipe.seed)
        spent = time.monotonic() - began
        bar.print(f"{len(pool.documents)} documents with the model's own replies, {spent:.0f} seconds")
        clock = Clock(
            max(60 * recipe.minutes - spent, 60.0), options.until
        )  # the seconds spent count, but warm-up begins with the steps
        run = AdapterRun(recipe, model, pool, clock, folder, bar)
        if options.resume and run.path.exists():
            run.resume()
        run.run(asked, options.steps)
        if not run.best:
            measured = run.base_per_cycle is not None
            bar.print("no adapter drafts better than the model without one" if measured else "no adapter was measured")
            bar.print(f"{checkpoint}: unchanged")
            return 0 if options.steps else 1
        run.export(checkpoint)
        bar.print(f"{checkpoint / lora.FOLDER}: {run.step} steps, {run.clock.elapsed / 60:.1f} minutes")
    finally:
        bar.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

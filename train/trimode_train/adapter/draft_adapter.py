"""`python -m trimode_train.adapter.draft_adapter RECIPE`: trains a draft adapter and writes it into its checkpoint.

The base model is frozen. The adapter is on for drafts only, so it changes how much of a draft is right, never the text.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from ..data.batches import Batches
from ..data.chat import render
from ..data.corpus import Corpus
from ..data.packing import Documents
from ..data.tokenizer import load_tokenizer
from ..evaluation.decode import Decoded, self_speculation
from ..evaluation.scores import MAX_NEW, Question, by_domain, questions
from ..model import lora
from ..model.checkpoint import load_model
from ..model.model import Model, bias_from
from ..prepare import ROOT, RUNS
from ..training.bar import Bar
from ..training.clock import Clock
from ..training.objective import Tensors, visibility
from .adapter_run import AdapterRun
from .command import run_parser
from .draft_objective import DraftLosses, Drafts, Weighing, draft_losses, encode_drafts
from .own_text import own_text
from .recipe import AdapterRecipe


def tokens_per_cycle(model: Model, asked: list[Question], adapter: bool) -> float:
    """Return how many tokens a draft and its verification give in greedy self-speculation, over all questions."""

    def one(question: Question) -> tuple[bool, Decoded]:
        decoded = self_speculation(model, question.prompt, MAX_NEW, model.config.block_size, adapter)
        return decoded.ids == question.reply, decoded

    return by_domain(asked, one)["all"].per_block


class PackedRun(AdapterRun[Tensors, Question]):
    """A run on packed rows of [noisy | clean] text, compiled as a whole: worth it where the clean text is short."""

    def __init__(
        self, recipe: AdapterRecipe, model: Model, corpus: Documents, clock: Clock, folder: Path, bar: Bar
    ) -> None:
        super().__init__(recipe, model, clock, folder, bar)
        self.corpus = corpus
        self.encode: Callable[[Model, Tensor, Tensor, Tensor, Tensor], Tensor] = encode_drafts
        if recipe.compile:
            self.encode = torch.compile(encode_drafts, dynamic=False)

    @contextmanager
    def batches(self) -> Iterator[Iterator[Tensors]]:
        """See AdapterRun."""
        with Batches(self.corpus, self.recipe, self.step) as made:
            yield (Tensors.of(next(made), self.recipe.device) for _ in count())

    def losses(self, batch: Tensors) -> DraftLosses:
        """See AdapterRun."""
        recipe = self.recipe
        dtype = torch.bfloat16 if recipe.bfloat16 else torch.float32
        with torch.autocast(recipe.device, dtype) if recipe.bfloat16 else nullcontext():
            on = (batch.block > 0)[..., None].to(dtype)  # (rows, length, 1): clean keys and values stay the base's
            hidden = self.encode(self.model, batch.ids, batch.positions, bias_from(visibility(batch), dtype), on)
            drafts = Drafts.of(batch, max(recipe.noise.block_lengths))
            flat, real = hidden.flatten(0, 1), drafts.real
            student, teacher = flat[drafts.noisy[real]], flat[drafts.teacher[real]]
            weighing = Weighing(recipe.temperature, recipe.behind)
            return draft_losses(self.model.diffusion_head, student, teacher, real, weighing)

    def tokens_of(self, batch: Tensors) -> int:
        """See AdapterRun."""
        return int((batch.block > 0).sum())

    def per_cycle(self, asked: list[Question], adapter: bool) -> float:
        """See AdapterRun."""
        return tokens_per_cycle(self.model, asked, adapter=adapter)


def unpublished(asked: list[Question], checkpoint: Path) -> list[Question]:
    """Return the questions not in the checkpoint's heldout.jsonl: what judges an adapter later must not choose it."""
    published = (checkpoint / "heldout.jsonl").read_text() if (checkpoint / "heldout.jsonl").exists() else ""
    tokenizer = load_tokenizer(checkpoint)
    records = [json.loads(line) for line in published.splitlines()]
    prompts = {tuple(tokenizer.encode(render(r["messages"])).ids) for r in records if "messages" in r}
    return [question for question in asked if tuple(question.prompt) not in prompts]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    made = run_parser("draft_adapter", "Train a draft adapter and write it into its checkpoint.")
    made.add_argument("--checkpoint", type=Path, metavar="DIR", help="the checkpoint, in place of the recipe's")
    made.add_argument("--no-compile", action="store_true", help="do not compile the model")
    return made.parse_args(arguments)


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
        run = PackedRun(recipe, model, pool, clock, folder, bar)
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

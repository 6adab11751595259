"""`python -m trimode_train.adapter.llama_adapter RECIPE`: teaches a frozen model of the Llama family to draft.

The model's own answers must be there (`answers`). Trained are the mask's embedding and the adapter alone, both on in
drafts only, so the text stays the model's. Ctrl-C saves the state and keeps the best adapter that was measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from ..data.answered import HELD_OUT, TRAINING, Answered, load
from ..data.packing import Document
from ..model import lora
from ..model.model import Model
from ..prepare import ROOT, RUNS
from ..training.bar import Bar
from ..training.clock import Clock
from .acceptance import acceptance
from .adapter_run import AdapterRun
from .answers import write_prompts
from .clean_texts import CleanTexts
from .command import run_parser
from .draft_batches import DraftBatch, draft_batch
from .draft_objective import DraftLosses, Weighing, draft_losses
from .frozen import head_on, hidden_of, load_frozen, shortlist, student_of
from .recipe import LlamaRecipe

MEASURED_LENGTH = 8
"""Tokens of a linear draft that runs are compared by, its seed included."""
MEASURED, MEASURED_TOKENS = 10, 64
"""Held-out answers that are measured while a run trains, and tokens of each: more would take minutes of the run."""


class LlamaRun(AdapterRun[DraftBatch, Document]):
    """A run on answers of the model, which cost a backward pass only where they are drafted."""

    recipe: LlamaRecipe

    def __init__(
        self, recipe: LlamaRecipe, model: Model, documents: list[Document], clock: Clock, folder: Path, bar: Bar
    ) -> None:
        super().__init__(recipe, model, clock, folder, bar)
        self.dtype = torch.bfloat16 if recipe.bfloat16 else torch.float32
        self.student, self.texts = student_of(model, self.dtype), CleanTexts(model, self.dtype)
        self.documents = sorted(documents, key=lambda one: len(one.ids))

    def attach(self) -> list[tuple[Tensor, float]]:
        """See AdapterRun; the mask's embedding has a rate of its own."""
        lora.attach(self.model, self.recipe.rank, self.recipe.alpha)  # which freezes all that is there
        lora.attach_mask(self.model)
        rates = {lora.MASK_ROW: self.recipe.mask_rate}
        return [(parameter, rates.get(name, 1.0)) for name, parameter in lora.weights(self.model).items()]

    def batches(self) -> AbstractContextManager[Iterator[DraftBatch]]:
        """See AdapterRun; a batch depends on the seed and its number alone."""
        mask, options = self.model.config.mask_id, self.recipe.drafts

        def one(number: int) -> DraftBatch:
            return draft_batch(self.documents, Random(f"{self.recipe.seed} drafts {number}"), options, mask)

        return nullcontext(map(one, count(self.step)))

    def losses(self, batch: DraftBatch) -> DraftLosses:
        """See AdapterRun."""
        recipe = self.recipe
        hidden = hidden_of(self.student, self.texts, batch, self.dtype)
        head = head_on(self.model, shortlist(hidden.likely, recipe.shortlist))
        weighing = Weighing(recipe.temperature, recipe.behind)
        return draft_losses(head, hidden.student, hidden.teacher, batch.real, weighing)

    def tokens_of(self, batch: DraftBatch) -> int:
        """See AdapterRun."""
        return batch.tokens

    def per_cycle(self, asked: list[Document], adapter: bool) -> float:
        """See AdapterRun."""
        return acceptance(self.model, asked, MEASURED_LENGTH, adapter=adapter).per_cycle


def greedy(answers: list[Answered], most: int, tokens: int) -> list[Document]:
    """Return the documents of at most `most` greedy answers, evenly spread, cut to `tokens` of reply.

    Drafts are measured on greedy text, where what is right is known beforehand.
    """
    found = [one.document for one in answers if not one.temperature and len(one.ids) - one.start > MEASURED_LENGTH]
    spread = [found[index * len(found) // min(most, len(found))] for index in range(min(most, len(found)))]
    return [Document(one.ids[: one.start + tokens], one.start, closed=False) for one in spread]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    made = run_parser("llama_adapter", "Teach a frozen model of the Llama family to draft.")
    made.add_argument("--to", type=Path, metavar="DIR", help="where linear_spec_lora goes [the recipe's checkpoint]")
    return made.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status, 1 if no adapter was written."""
    options = _parse(arguments)
    recipe = LlamaRecipe.load(options.recipe)
    checkpoint = ROOT / recipe.start_from
    torch.set_num_threads(recipe.threads)
    folder = options.out or RUNS / recipe.name
    answers = load(folder / TRAINING)
    asked = [] if options.steps else greedy(load(folder / HELD_OUT), MEASURED, MEASURED_TOKENS)
    for name, found in ((TRAINING, answers), *([] if options.steps else [(HELD_OUT, asked)])):
        if not found:  # without held-out ones no adapter could be measured, and none would be written
            print(f"{folder / name}: no answers; run python -m trimode_train.adapter.answers first", file=sys.stderr)
            return 1
    model = load_frozen(checkpoint)
    recipe = dataclasses.replace(recipe, minutes=options.minutes or recipe.minutes, model=model.config)
    bar = Bar("training")
    try:
        clock = Clock(60 * recipe.minutes, options.until)
        run = LlamaRun(recipe, model, [one.document for one in answers], clock, folder, bar)
        if options.resume and run.path.exists():
            run.resume()
        bar.print(f"{len(answers):,} answers, {sum(len(one.ids) - one.start for one in answers):,} tokens of replies")
        run.run(asked, options.steps)
        if not run.best:
            bar.print(f"{checkpoint}: unchanged, as no adapter was measured that drafts better than the model alone")
            return 0 if options.steps else 1
        run.export(options.to or checkpoint)
        write_prompts(load(folder / HELD_OUT), (options.to or checkpoint) / HELD_OUT)  # what measurements may ask
        bar.print(f"{(options.to or checkpoint) / lora.FOLDER}: {run.step} steps, {run.clock.elapsed / 60:.1f} minutes")
    finally:
        bar.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

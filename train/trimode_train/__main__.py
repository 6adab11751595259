"""`python -m trimode_train RECIPE`: prepares the tokenizer and the corpus, then trains or resumes."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer

from trimode_train.chat import render
from trimode_train.clock import Clock
from trimode_train.corpus import Corpus, draw
from trimode_train.evaluate import questions
from trimode_train.recipe import Recipe
from trimode_train.report import Reporter
from trimode_train.sources import texts
from trimode_train.tokenizer import load_tokenizer, train_tokenizer
from trimode_train.trainer import Trainer

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "train/runs"


def tokenizer_texts(seed: int, chats: int = 12_000, code_bytes: int = 3_000_000) -> Iterator[str]:
    """What merges are learned from: chats of the mixture and some library code."""
    rng = Random(f"{seed} tokenizer")
    for _ in range(chats):
        example = draw(rng)
        for text in (example.answer, render([{"role": "user", "content": example.prompt}])):
            yield text
    for _, text in texts("code"):
        if code_bytes <= 0:
            return
        code_bytes -= len(text)
        yield text


def prepare_tokenizer(folder: Path, recipe: Recipe) -> Tokenizer:
    """Load the run's tokenizer; on the first start, copy that of the checkpoint it starts from, or train one."""
    if recipe.start_from and not (folder / "tokenizer.json").exists():
        shutil.copyfile(ROOT / recipe.start_from / "tokenizer.json", folder / "tokenizer.json")
    if not (folder / "tokenizer.json").exists():
        train_tokenizer(tokenizer_texts(recipe.seed), recipe.model.vocab_size).save(str(folder / "tokenizer.json"))
    return load_tokenizer(folder)


def wall_clock(text: str) -> float:
    """HH:MM, the next time it comes, as seconds since the epoch."""
    hour, minute = map(int, text.split(":"))
    now = datetime.datetime.now()
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (then if then > now else then + datetime.timedelta(days=1)).timestamp()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m trimode_train", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--resume", action="store_true", help="continue the run's latest checkpoint")
    parser.add_argument("--minutes", type=float, help="length of the schedule, instead of the recipe's")
    parser.add_argument("--until", type=wall_clock, metavar="HH:MM", help="end the schedule by this hour at the latest")
    parser.add_argument("--steps", type=int, help="stop after this many steps, without evaluation")
    parser.add_argument("--device", help="cpu or cuda, instead of the recipe's")
    parser.add_argument("--rows", type=int, help="rows of a batch, instead of the recipe's")
    parser.add_argument("--no-compile", action="store_true", help="run the model uncompiled")
    parser.add_argument("--out", type=Path, help="run folder (default: train/runs/<recipe's name>)")
    options = parser.parse_args(arguments)

    recipe = Recipe.load(options.recipe)
    recipe = dataclasses.replace(
        recipe,
        minutes=options.minutes or recipe.minutes,
        device=options.device or recipe.device,
        compile=recipe.compile and not options.no_compile,
        data=dataclasses.replace(recipe.data, rows=options.rows or recipe.data.rows),
    )
    torch.set_num_threads(recipe.threads)
    folder = options.out or RUNS / recipe.name
    folder.mkdir(parents=True, exist_ok=True)

    tokenizer = prepare_tokenizer(folder, recipe)
    corpus = Corpus(tokenizer, recipe.data)
    with Reporter(folder / "log.jsonl") as reporter:
        trainer = Trainer(recipe, corpus, Clock(60 * recipe.minutes, options.until), folder, reporter)
        if options.resume and trainer.path.exists():
            trainer.resume()
        elif recipe.start_from:
            trainer.start_from(ROOT / recipe.start_from)
        asked = [] if options.steps else questions(corpus, per_domain=12, seed=7)
        trainer.run(asked, options.steps)
        if asked and not trainer.stopping:
            trainer.evaluate(asked)
    return 0


if __name__ == "__main__":
    sys.exit(main())

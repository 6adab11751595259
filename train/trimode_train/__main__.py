"""`python -m trimode_train RECIPE`, or `--archive FILE`: prepares tokenizer and corpus, then trains or resumes.

From an archive a run needs numpy and torch alone, so whatever needs more is imported where it is used.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from .data.archive import Archive
from .data.recipe import Recipe

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from .data.mixture import Documents
    from .evaluation.scores import Question

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "train/runs"


def tokenizer_texts(seed: int, chats: int = 12_000, code_bytes: int = 3_000_000) -> Iterator[str]:
    """What merges are learned from: chats of the mixture and some library code."""
    from .data.chat import render
    from .data.corpus import draw
    from .data.sources import texts

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
    from .data.tokenizer import load_tokenizer, train_tokenizer

    if recipe.start_from and not (folder / "tokenizer.json").exists():
        shutil.copyfile(ROOT / recipe.start_from / "tokenizer.json", folder / "tokenizer.json")
    if not (folder / "tokenizer.json").exists():
        train_tokenizer(tokenizer_texts(recipe.seed), recipe.model.vocab_size).save(str(folder / "tokenizer.json"))
    return load_tokenizer(folder)


Prepared = tuple["Documents", Callable[[], "list[Question]"]]
"""What a run draws documents from, and what it is asked between steps."""


def prepare(folder: Path, recipe: Recipe) -> Prepared:
    """Tokenizer, corpus and questions, made here."""
    from .data.corpus import Corpus
    from .evaluation.evaluate import questions

    corpus = Corpus(prepare_tokenizer(folder, recipe), recipe.data)
    return corpus, lambda: questions(corpus, per_domain=12, seed=7)


def unpack(archive: Archive, folder: Path) -> Prepared:
    """Tokenizer, corpus and questions of an archive."""
    from .evaluation.scores import Question

    (folder / "tokenizer.json").write_text(archive.tokenizer)
    return archive.corpus, lambda: [Question(*pair) for pair in archive.questions]


def wall_clock(text: str) -> float:
    """HH:MM, the next time it comes, as seconds since the epoch."""
    hour, minute = map(int, text.split(":"))
    now = datetime.datetime.now()
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (then if then > now else then + datetime.timedelta(days=1)).timestamp()


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m trimode_train", description=__doc__)
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("recipe", type=Path, nargs="?")
    given.add_argument("--archive", type=Path, help="recipe, tokenizer and documents from this file")
    parser.add_argument("--resume", action="store_true", help="continue the run's latest checkpoint, if there is one")
    parser.add_argument("--minutes", type=float, help="length of the schedule, instead of the recipe's")
    parser.add_argument("--until", type=wall_clock, metavar="HH:MM", help="end the schedule by this hour at the latest")
    parser.add_argument(
        "--stop-after", type=float, metavar="MINUTES", help="save and leave; the schedule stays as long"
    )
    parser.add_argument("--steps", type=int, help="stop after this many steps, without evaluation")
    parser.add_argument("--device", help="cpu or cuda, instead of the recipe's")
    parser.add_argument("--rows", type=int, help="rows of a batch, instead of the recipe's")
    parser.add_argument("--workers", type=int, help="processes that make batches, instead of the recipe's")
    parser.add_argument("--no-compile", action="store_true", help="run the model uncompiled")
    parser.add_argument("--out", type=Path, help="run folder (default: train/runs/<recipe's name>)")
    parser.add_argument(
        "--save-shards", type=Path, metavar="DIR", help="at the end write the weights here, in small files"
    )
    parser.add_argument("--from-shards", type=Path, metavar="DIR", help="continue from such files, with new optimisers")
    return parser.parse_args(arguments)


def _adjusted(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    return dataclasses.replace(
        recipe,
        minutes=options.minutes or recipe.minutes,
        device=options.device or recipe.device,
        workers=recipe.workers if options.workers is None else options.workers,
        compile=recipe.compile and not options.no_compile,
        data=dataclasses.replace(recipe.data, rows=options.rows or recipe.data.rows),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    began, options = time.monotonic(), _parse(arguments)
    import torch

    from .training.clock import Clock
    from .training.report import Reporter
    from .training.trainer import Trainer

    archive = Archive.load(options.archive) if options.archive else None
    recipe = _adjusted(archive.recipe if archive else Recipe.load(options.recipe), options)
    torch.set_num_threads(recipe.threads)
    folder = options.out or RUNS / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    prepared = unpack(archive, folder) if archive else prepare(folder, recipe)
    corpus, asked = prepared[0], [] if options.steps else prepared[1]()
    with Reporter(folder / "log.jsonl") as reporter:
        trainer = Trainer(recipe, corpus, Clock(60 * recipe.minutes, options.until), folder, reporter)
        if options.resume and trainer.path.exists():
            trainer.resume()
        elif options.from_shards:
            trainer.load_shards(options.from_shards)
        elif recipe.start_from:
            trainer.start_from(ROOT / recipe.start_from)
        if options.stop_after:
            left = max(0.0, 60 * options.stop_after - (time.monotonic() - began))
            timer = threading.Timer(left, trainer.stop)
            timer.daemon = True
            timer.start()
        trainer.run(asked, options.steps)
        if options.save_shards:
            trainer.save_shards(options.save_shards)
            shutil.copyfile(folder / "tokenizer.json", options.save_shards / "tokenizer.json")
        if asked and not trainer.stopping:
            trainer.evaluate(asked)
    return 0


if __name__ == "__main__":
    sys.exit(main())

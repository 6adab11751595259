"""`python -m trimode_train RECIPE`, or `--archive FILE`: prepares tokenizer and documents, then trains or resumes.

Exit codes: 0 done, 2 wrong usage, 130 interrupted. The program alone: no other file of the package imports it.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import threading
import time
from pathlib import Path

from .data.archive import Archive
from .data.recipe import Recipe
from .prepare import ROOT, RUNS, prepare, say, unpack
from .training.clock import Clock, wall_clock

INTERRUPTED = 130  # as a shell has it for SIGINT


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m trimode_train", description="Train a model as a recipe says, or continue a run."
    )
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("recipe", type=Path, nargs="?", metavar="RECIPE", help="the run's YAML file")
    given.add_argument(
        "--archive", type=Path, metavar="FILE", help="take recipe, tokenizer and documents from this file"
    )
    parser.add_argument("--resume", action="store_true", help="continue the run's latest state, if there is one")
    parser.add_argument("--minutes", type=float, help="length of the schedule, in place of the recipe's")
    parser.add_argument("--until", type=wall_clock, metavar="HH:MM", help="end the schedule by this hour at the latest")
    parser.add_argument(
        "--stop-after", type=float, metavar="MINUTES", help="save and exit then; the schedule keeps its length"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="stop after so many steps, without evaluation")
    parser.add_argument("--no-evaluation", action="store_true", help="ask no questions, not even at the end")
    parser.add_argument("--device", metavar="cpu|cuda", help="the device to train on, in place of the recipe's")
    parser.add_argument("--rows", type=int, metavar="N", help="rows of a batch, in place of the recipe's")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that make batches, in place of the recipe's"
    )
    parser.add_argument("--no-compile", action="store_true", help="do not compile the model")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder [train/runs/<recipe's name>]")
    parser.add_argument(
        "--save-shards", type=Path, metavar="DIR", help="write the weights to this folder at the end, in small files"
    )
    parser.add_argument(
        "--from-shards", type=Path, metavar="DIR", help="continue from such files; the optimisers start from zero"
    )
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
    """Run the command line; returns the exit status. Ctrl-C ends it anywhere, and what was saved can be resumed."""
    options = _parse(arguments)
    try:
        return _train(options)
    except KeyboardInterrupt:  # before the first step or after the last: in between the trainer saves and stops
        print("interrupted; --resume continues a run that has saved a state", file=sys.stderr)
        return INTERRUPTED


def _train(options: argparse.Namespace) -> int:
    began = time.monotonic()
    import torch

    from .training.report import Reporter
    from .training.trainer import Trainer

    archive = Archive.load(options.archive) if options.archive else None
    recipe = _adjusted(archive.recipe if archive else Recipe.load(options.recipe), options)
    torch.set_num_threads(recipe.threads)
    folder = options.out or RUNS / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    prepared = unpack(archive, folder) if archive else prepare(folder, recipe)
    asked = [] if options.steps or options.no_evaluation else prepared.questions()
    say(f"training for {recipe.minutes:g} minutes in {folder}; the first step takes longer, Ctrl-C saves and stops")
    with Reporter(folder / "log.jsonl") as reporter:
        trainer = Trainer(recipe, prepared.corpus, Clock(60 * recipe.minutes, options.until), folder, reporter)
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
            say(f"asking {len(asked)} held-out questions; the state is saved, Ctrl-C leaves them out")
            trainer.evaluate(asked)
    return 0


if __name__ == "__main__":
    sys.exit(main())

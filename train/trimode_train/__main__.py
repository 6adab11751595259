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
from typing import TYPE_CHECKING

from .data.archive import Archive
from .data.recipe import Recipe
from .prepare import ROOT, RUNS, prepare, say, unpack
from .training.clock import Clock, wall_clock

if TYPE_CHECKING:
    from .training.trainer import Trainer

INTERRUPTED = 130  # as a shell has it for SIGINT
WRONG_USAGE = 2  # as argparse has it


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m trimode_train", description="Train a model as a recipe says, or continue a run."
    )
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("recipe", type=Path, nargs="?", metavar="RECIPE", help="the run's YAML file")
    given.add_argument(
        "--archive", type=Path, metavar="FILE", help="take recipe, tokenizer and documents from this file"
    )
    parser.add_argument("--stage", metavar="NAME", help="run this stage of the recipe alone")
    parser.add_argument("--resume", action="store_true", help="continue the run's latest state, if there is one")
    parser.add_argument("--minutes", type=float, help="length of the schedule of all stages, in place of the recipe's")
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


def _adjusted(recipe: Recipe, options: argparse.Namespace, whole: float) -> Recipe:
    """Return a recipe with what the command line says; `whole` is the minutes of all stages together."""
    return dataclasses.replace(
        recipe,
        minutes=recipe.minutes * options.minutes / whole if options.minutes else recipe.minutes,
        device=options.device or recipe.device,
        workers=recipe.workers if options.workers is None else options.workers,
        compile=recipe.compile and not options.no_compile,
        data=dataclasses.replace(recipe.data, rows=options.rows or recipe.data.rows),
    )


def _stages(options: argparse.Namespace) -> list[Recipe]:
    """Return the stages to run. Raises ValueError that names the stages there are, for one there is not."""
    recipes = Recipe.stages(options.recipe)
    whole = sum(recipe.minutes for recipe in recipes)
    names = [recipe.name.split("/")[-1] for recipe in recipes]
    if options.stage and options.stage not in names:
        raise ValueError(f"--stage {options.stage}: {options.recipe.name} has {', '.join(names)}")
    chosen = [recipe for name, recipe in zip(names, recipes, strict=True) if options.stage in (None, name)]
    if len(chosen) > 1 and (options.out or options.from_shards or options.save_shards):
        raise ValueError("--out, --from-shards and --save-shards are for one stage: name it by --stage")
    return [_adjusted(recipe, options, whole) for recipe in chosen]


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
    archive = Archive.load(options.archive) if options.archive else None
    try:
        recipes = [_adjusted(archive.recipe, options, archive.recipe.minutes)] if archive else _stages(options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return WRONG_USAGE
    for number, recipe in enumerate(recipes, 1):
        if len(recipes) > 1:
            say(f"stage {number} of {len(recipes)}: {recipe.name}")
        if not _train_stage(recipe, archive, options, began, is_last=number == len(recipes)):
            break
    return 0


def _train_stage(
    recipe: Recipe, archive: Archive | None, options: argparse.Namespace, began: float, *, is_last: bool
) -> bool:
    """Train or resume one stage; returns whether it came to its end, so that the next one may begin."""
    import torch

    from .training.report import Reporter
    from .training.trainer import Trainer

    torch.set_num_threads(recipe.threads)
    folder = options.out or RUNS / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    with Reporter(folder / "log.jsonl") as reporter:
        prepared = unpack(archive, folder) if archive else prepare(folder, recipe)
        trainer = Trainer(recipe, prepared.corpus, Clock(60 * recipe.minutes, options.until), folder, reporter)
        _begin(trainer, recipe, options)
        if options.resume and trainer.progress >= 1 and not is_last:
            say(f"{folder} is done")
            return True
        asked = [] if options.steps or options.no_evaluation else prepared.questions()
        say(f"training for {recipe.minutes:.3g} minutes in {folder}")
        say("the first step takes longer; Ctrl-C saves and stops")
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
        return not trainer.stopping


def _begin(trainer: Trainer, recipe: Recipe, options: argparse.Namespace) -> None:
    """Give a trainer its weights: those of its latest state, of shards, or those that its recipe names."""
    if options.resume and trainer.path.exists():
        trainer.resume()
    elif options.from_shards:
        trainer.load_shards(options.from_shards)
    elif recipe.start_from or recipe.weights_of:
        from .training.start import first_weights

        first_weights(trainer.model, recipe, ROOT, RUNS)


if __name__ == "__main__":
    sys.exit(main())

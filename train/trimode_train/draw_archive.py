"""`python -m trimode_train.draw_archive RECIPE`: draws a run's documents beforehand, into one file.

The machine that trains then needs numpy and torch alone. Knows nothing about the file's format.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.progress import Progress

from .data.archive import Archive, ArchiveCorpus, draw_documents
from .data.corpus import Corpus
from .data.recipe import Recipe
from .prepare import RUNS, answers_of, conversations, prepare_tokenizer


def _drawn(corpus: Corpus, seed: int, documents: int, workers: int) -> ArchiveCorpus:
    parts = []
    with Progress() as progress:
        task = progress.add_task("drawing documents", total=documents)
        for part in draw_documents(corpus, seed, documents, workers):
            parts.append(part)
            progress.advance(task, len(part))
    return ArchiveCorpus.joined(parts)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m trimode_train.draw_archive", description="Draw a run's documents beforehand, into one file."
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="the run's YAML file")
    parser.add_argument(
        "--documents",
        type=int,
        default=1_200_000,
        metavar="N",
        help="how many documents to draw; a recipe with answers_of has its own [%(default)s]",
    )
    parser.add_argument("--to", type=Path, metavar="FILE", help="the archive [train/runs/<recipe's name>.archive]")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that draw [%(default)s]")
    options = parser.parse_args(arguments)

    recipe = Recipe.load(options.recipe)
    folder = RUNS / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = prepare_tokenizer(folder, recipe)
    if recipe.answers_of:
        drawn, asked = answers_of(recipe), []
    else:
        corpus = Corpus(tokenizer, recipe.data)
        drawn, asked = _drawn(corpus, recipe.seed, options.documents, options.workers), conversations(corpus)
    archive = Archive(recipe, drawn, (folder / "tokenizer.json").read_text(), asked)
    path = options.to or RUNS / f"{recipe.name}.archive"
    archive.save(path)
    kept, size = archive.corpus, path.stat().st_size
    print(f"{path}: {len(kept):,} documents, {len(kept.ids):,} tokens, {size / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

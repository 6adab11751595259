"""What a run needs before its first step: tokenizer, documents and questions, made here or taken from an archive.

From an archive a run needs numpy and torch alone, so whatever needs more is imported where it is used.
Knows nothing about models or training.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from .data.archive import Archive, ArchiveCorpus
from .data.packing import Document, Documents
from .data.recipe import Recipe

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from .data.corpus import Corpus
    from .data.picture_corpus import PictureCorpus
    from .evaluation.scores import Question

ROOT = Path(__file__).parents[2]
"""The project's folder, to which the paths in recipes are relative."""

RUNS = ROOT / "train/runs"
"""Where a run's folder is if the user names no other."""


class Prepared(NamedTuple):
    """What a run draws documents from, and how to get the questions that it is asked between steps."""

    corpus: Documents
    questions: Callable[[], list[Question]]


def say(text: str) -> None:
    """Print what begins now: what comes before the first step can take minutes."""
    print(text, flush=True)


def tokenizer_texts(seed: int, chats: int = 12_000, code_bytes: int = 3_000_000) -> Iterator[str]:
    """The texts that merges are learned from: chats of the mixture and some library code."""
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
    from .data.tokenizer import EXTRA, load_tokenizer, train_tokenizer, with_images

    if recipe.start_from and recipe.answers_of and not (folder / "tokenizer.json").exists():
        from .model.base import TOKENIZER, text_files

        (folder / TOKENIZER).write_bytes(text_files(ROOT / recipe.start_from)[TOKENIZER])
    source = recipe.tokenizer_of or recipe.start_from
    if source and not (folder / "tokenizer.json").exists():
        shutil.copyfile(ROOT / source / "tokenizer.json", folder / "tokenizer.json")
    if not (folder / "tokenizer.json").exists():
        say(f"learning a tokenizer of {recipe.model.vocab_size:,} tokens, once for this run")
        made = folder / "tokenizer.json.new"  # whole or not there, wherever it is interrupted
        train_tokenizer(tokenizer_texts(recipe.seed), recipe.model.vocab_size).save(str(made))
        made.rename(folder / "tokenizer.json")
    tokenizer = load_tokenizer(folder)
    if recipe.model.vision and tokenizer.token_to_id(EXTRA) is None:
        tokenizer = with_images(tokenizer)
        tokenizer.save(str(folder / "tokenizer.json"))
    if tokenizer.get_vocab_size() > recipe.model.vocab_size:
        raise ValueError(
            f"{recipe.name}: model.vocab_size is {recipe.model.vocab_size}, "
            f"the tokenizer has {tokenizer.get_vocab_size()} tokens"
        )
    return tokenizer


def conversations(corpus: Corpus | PictureCorpus) -> list[tuple[str, Document]]:
    """The held-out conversations, with their domains, that a run is asked about between steps."""
    return corpus.held_out(per_domain=12, seed=7)


def corpus_of(tokenizer: Tokenizer, recipe: Recipe) -> Corpus | PictureCorpus:
    """Make what draws a recipe's documents: texts, pictures with questions, or both."""
    from .data.corpus import Corpus
    from .data.picture_corpus import PictureCorpus

    text = None
    if recipe.pictures.share < 1:
        say("reading the sources that documents are drawn from")
        text = Corpus(tokenizer, recipe.data)
    return text if text and not recipe.pictures.share else PictureCorpus(tokenizer, recipe.pictures, text)


def answers_of(recipe: Recipe) -> ArchiveCorpus:
    """Return the answers that a recipe with `answers_of` learns from.

    Raises:
        ValueError: there are none, or one does not fit into a row with a block beside it.
    """
    from .data.answered import TRAINING, load

    path = RUNS / str(recipe.answers_of) / TRAINING
    documents = [one.document for one in load(path)]
    if not documents:
        raise ValueError(f"{path}: no answers; run python -m trimode_train.adapter.answers first")
    longest, room = max(len(one.ids) for one in documents), recipe.data.row_length - min(recipe.noise.block_lengths)
    if longest > room:
        raise ValueError(f"{path}: an answer has {longest} tokens, data.row_length leaves room for {room}")
    return ArchiveCorpus.of(documents)


def prepare(folder: Path, recipe: Recipe) -> Prepared:
    """Make tokenizer, corpus and questions. A run on answers asks none: the product measures what it has become."""
    if recipe.answers_of:
        prepare_tokenizer(folder, recipe)
        return Prepared(answers_of(recipe), list)
    corpus = corpus_of(prepare_tokenizer(folder, recipe), recipe)
    return Prepared(corpus, lambda: _questions(conversations(corpus)))


def unpack(archive: Archive, folder: Path) -> Prepared:
    """Take tokenizer, corpus and questions from an archive."""
    (folder / "tokenizer.json").write_text(archive.tokenizer)
    return Prepared(archive.corpus, lambda: _questions(archive.questions))


def _questions(pairs: list[tuple[str, Document]]) -> list[Question]:
    from .evaluation.scores import Question

    say(f"{len(pairs)} held-out questions are asked between steps; --no-evaluation leaves them out")
    return [Question(*pair) for pair in pairs]

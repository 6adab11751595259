"""`python -m trimode_train.evaluation.pictures CHECKPOINT`: which questions on pictures a checkpoint answers exactly.

By domain and mode, on held-out fonts and layouts, once with each picture and once with a blank one in its place: what
is right without the picture is chance. Needs a checkpoint folder with a vision tower.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..data.packing import Document
from ..data.picture_corpus import PictureCorpus
from ..data.recipe import PictureOptions
from ..data.tokenizer import load_tokenizer
from ..model.checkpoint import load_model
from ..model.model import Model
from .decode import Decoded, autoregressive, diffusion, self_speculation
from .scores import MAX_NEW, Question, Score, by_domain, opened

GREY = 128
"""Of all channels of a blank picture's pixels."""

MODES: dict[str, Callable[..., Decoded]] = {
    "autoregressive": autoregressive,
    "diffusion": diffusion,
    "self_speculation": self_speculation,
}


def blank(document: Document) -> Document:
    """Return the same conversation with blank pictures of the same sizes."""
    return dataclasses.replace(document, pictures=tuple(np.full_like(pixels, GREY) for pixels in document.pictures))


def score(model: Model, asked: list[Question], mode: str) -> dict[str, Score]:
    """Return scores by domain in one mode, with its default block and threshold."""
    decode = MODES[mode]

    def one(question: Question) -> tuple[bool, Decoded]:
        decoded = decode(opened(model, question.document), question.prompt, MAX_NEW)
        return decoded.ids == question.reply, decoded

    return by_domain(asked, one)


def table(model: Model, asked: list[Question]) -> Iterator[str]:
    """Yield the rows of a Markdown table: exact with the picture, tokens per forward, exact with a blank one."""
    without = [Question(question.domain, blank(question.document)) for question in asked]
    yield "| domain | mode | exact | tokens per forward | exact, blank picture | asked |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for mode in MODES:
        seeing, blind = score(model, asked, mode), score(model, without, mode)
        for domain, one in seeing.items():
            chance = blind[domain].exact
            yield f"| {domain} | {mode} | {one.exact:.0%} | {one.per_forward:.1f} | {chance:.0%} | {one.asked} |"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m trimode_train.evaluation.pictures",
        description="Count what a checkpoint reads from held-out pictures, and from blank ones.",
    )
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a checkpoint folder with a vision tower")
    parser.add_argument("--per-domain", type=int, default=40, metavar="N", help="of each domain [%(default)s]")
    parser.add_argument("--seed", type=int, default=2026, metavar="N", help="draws the questions [%(default)s]")
    options = parser.parse_args(arguments)
    model = load_model(options.checkpoint)
    if model.config.vision is None:
        raise SystemExit(f"{options.checkpoint}: its config.json has no vision_config")
    corpus = PictureCorpus(load_tokenizer(options.checkpoint), PictureOptions(share=1.0), None)
    asked = [Question(*pair) for pair in corpus.questions(options.per_domain, options.seed)]
    for line in table(model, asked):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

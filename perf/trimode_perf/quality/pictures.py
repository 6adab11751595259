"""Questions on held-out pictures, asked as a user asks: a PNG and a text in a chat; the same with blank pictures.

The pictures are drawn by a seed, by the generators that training drew from: in fonts and layouts that it never drew.
"""

from __future__ import annotations

import base64
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from PIL import Image
from trimode_train.data.pictures import PICTURES, Drawn, PictureTask, Variety

from ..common.prompts import Prompt

SEED = 2026
GREY = 128
"""Of all channels of a blank picture's pixels."""
LEARNED, GUESSED = 1000, 1000
"""Pictures of a domain from which the best guess by the question is learned, and those on which it is counted."""
UNSEEN = "unseen_word"
"""The domain of words that training never drew; it draws none of its pictures."""


@dataclass(frozen=True)
class Scope:
    """What a checkpoint was trained to read: the domains, and of numbers the digits and of the lexicon the words."""

    domains: tuple[str, ...]
    digits: int
    words: int

    @classmethod
    def of(cls, training: Mapping[str, Any]) -> Scope:
        """Read it from a training record; what that does not say is all there is."""
        said, most = training.get("pictures", {}), Variety()
        domains = tuple(said.get("domains") or PICTURES)
        return cls(domains, said.get("digits", most.digits), said.get("words", most.words))

    @property
    def tasks(self) -> list[PictureTask]:
        """The generators of the domains, and of words that training never drew where it drew words."""
        wanted = {*self.domains, *([UNSEEN] if "word" in self.domains else [])}
        return [task for name, task in PICTURES.items() if name in wanted]

    def draw(self, task: PictureTask, seed: str) -> Iterator[Drawn]:
        """Draw held-out pictures without end; the same seed gives the same ones."""
        rng, variety = Random(seed), Variety(held_out=True, digits=self.digits, words=self.words)
        while True:
            yield task.make(rng, variety)

    def questions(self, per_domain: int) -> list[Drawn]:
        """Return so many questions of each domain."""
        drawn = [(self.draw(task, f"asked {SEED} {task.name}"), task) for task in self.tasks]
        return [next(pictures) for pictures, _ in drawn for _ in range(per_domain)]

    def chance(self) -> dict[str, float]:
        """Return by domain what the best guess that knows the question and the picture's size alone gets right."""
        return {task.name: _guessed(self.draw(task, f"guessed {SEED} {task.name}")) for task in self.tasks}


def _guessed(pictures: Iterator[Drawn]) -> float:
    answers: defaultdict[Any, Counter[str]] = defaultdict(Counter)
    for _ in range(LEARNED):
        one = next(pictures)
        answers[_known(one)][one.answer] += 1
    best = {known: counts.most_common(1)[0][0] for known, counts in answers.items()}
    judged = [next(pictures) for _ in range(GUESSED)]
    return sum(best.get(_known(one)) == one.answer for one in judged) / GUESSED


def _known(drawn: Drawn) -> tuple[str, tuple[int, ...]]:
    """Return what a blank picture leaves."""
    return drawn.question, drawn.pixels.shape


def png(pixels: Any) -> bytes:
    """Return (H, W, 3) bytes as the file of a picture."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return file.getvalue()


def prompt(drawn: Drawn, *, blank: bool = False) -> Prompt:
    """Return a question as a chat with its picture, or with a blank one of the same size."""
    pixels = np.full_like(drawn.pixels, GREY) if blank else drawn.pixels
    url = f"data:image/png;base64,{base64.b64encode(png(pixels)).decode()}"
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": drawn.question}]
    return Prompt(drawn.domain, ({"role": "user", "content": parts},), answer=drawn.answer)

"""A picture task: a seeded generator of a picture, a question and the answer; and what training may draw of it.

One font in five, one word in ten and one layout in ten never occur in training. Knows no particular task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

from ..sources import is_held_out
from .fonts import HELD_OUT_FACES, TRAINING_FACES, Face
from .lexicon import HELD_OUT_WORDS, TRAINING_WORDS

Pixels = npt.NDArray[np.uint8]
"""(H, W, 3), sides multiples of 28."""

HELD_OUT_LAYOUTS = 10
"""One layout in so many is held out, by a hash of its description."""


@dataclass(frozen=True)
class Drawn:
    """One picture with a question and its only right answer; `layout` says what lies where, without the content."""

    domain: str
    pixels: Pixels
    question: str
    answer: str
    layout: str

    def check(self, reply: str) -> bool:
        """Return whether a reply is right."""
        return reply.strip() == self.answer


@dataclass(frozen=True)
class Variety:
    """What may be drawn: the training share or the held-out one, and how much of it, for a start with little.

    Attributes:
        held_out: draw held-out fonts and layouts, and for `unseen_word` held-out words; nothing of them otherwise.
        digits: of a number, at most.
        faces: fonts of the training share, the first ones.
        words: of the training share of the lexicon, the first ones.
        noise: whether pictures are noisy, inverted and coloured, or black on white.
    """

    held_out: bool = False
    digits: int = 5
    faces: int = len(TRAINING_FACES)
    words: int = len(TRAINING_WORDS)
    noise: bool = True

    def __post_init__(self) -> None:
        for name, most in (("digits", 5), ("faces", len(TRAINING_FACES)), ("words", len(TRAINING_WORDS))):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be 1 to {most}, got {getattr(self, name)}")

    def face(self, rng: Random) -> Face:
        """Draw a font."""
        return rng.choice(HELD_OUT_FACES if self.held_out else TRAINING_FACES[: self.faces])

    def word(self, rng: Random, unseen: bool = False) -> str:
        """Draw a word of the lexicon: of its training share, or with `unseen` of the other one."""
        return rng.choice(HELD_OUT_WORDS if unseen else TRAINING_WORDS[: self.words])

    def keeps(self, layout: str) -> bool:
        """Return whether a layout belongs to the share that is drawn."""
        return is_held_out(layout, HELD_OUT_LAYOUTS) == self.held_out


@dataclass(frozen=True)
class PictureTask:
    """A named generator: the same random state and variety give the same picture. `weight` is its share of training."""

    name: str
    make: Callable[[Random, Variety], Drawn]
    weight: float = 1.0


def asked(rng: Random, questions: Sequence[str]) -> str:
    """Draw one of several wordings of a question."""
    return rng.choice(questions)

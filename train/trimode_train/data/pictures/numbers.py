"""Numbers of one to five digits, one on a picture."""

from __future__ import annotations

from random import Random

from .base import Drawn, PictureTask, Variety, asked
from .line import line_of

QUESTIONS = ("Which number is this?", "Read the number.", "What number is in the picture?", "What number do you see?")


def number(rng: Random, variety: Variety) -> Drawn:
    """Draw a number; each length is as likely as any other, and the first digit is 0 for the number 0 alone."""
    digits = rng.randint(1, variety.digits)
    text = str(rng.randint(10 ** (digits - 1) if digits > 1 else 0, 10**digits - 1))
    line = line_of(rng, variety, text)
    return Drawn("number", line.pixels, asked(rng, QUESTIONS), text, line.layout)


TASKS = (PictureTask("number", number, 1.5),)

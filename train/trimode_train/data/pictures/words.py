"""Words of a lexicon, one on a picture, read or spelled; spelling is how words that training never saw can be read."""

from __future__ import annotations

from random import Random

from .base import Drawn, PictureTask, Variety, asked
from .line import line_of

READ = ("Which word is this?", "Read the word.", "What does it say?", "What word do you see?")
SPELL = ("Spell the word.", "Which letters are these?")


def word(rng: Random, variety: Variety) -> Drawn:
    """Draw a word of the lexicon's training share; two questions in three ask for the word, one for its letters."""
    text = variety.word(rng)
    line = line_of(rng, variety, text)
    if rng.random() < 1 / 3:
        return Drawn("word", line.pixels, asked(rng, SPELL), " ".join(text), line.layout)
    return Drawn("word", line.pixels, asked(rng, READ), text, line.layout)


def unseen_word(rng: Random, variety: Variety) -> Drawn:
    """Draw a held-out word, to be spelled. Training draws none, so the task has no weight in it."""
    text = variety.word(rng, unseen=True)
    line = line_of(rng, variety, text)
    return Drawn("unseen_word", line.pixels, asked(rng, SPELL), " ".join(text), line.layout)


TASKS = (PictureTask("word", word, 1.5), PictureTask("unseen_word", unseen_word, 0.0))

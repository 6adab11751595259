"""Held-out questions of every domain; how they are scored is in `scores.py`."""

from __future__ import annotations

from random import Random

from ..data.corpus import Corpus, draw
from ..data.tasks import TASKS
from .scores import Question


def questions(corpus: Corpus, per_domain: int, seed: int) -> list[Question]:
    """The same held-out questions for the same seed."""
    rng = Random(f"held-out {seed}")
    return [Question(name, corpus.chat([], draw(rng, True, name))) for name in TASKS for _ in range(per_domain)]

"""Prompts that people say: chat, questions, writing. Knows which subjects fill which wordings."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from .base import Kind
from .texts import subjects, worded

THINGS, ACTIONS, FEELINGS = subjects("things"), subjects("actions"), subjects("feelings")
HEROES, PLACES, FORMS = subjects("heroes"), subjects("places"), subjects("forms")


def _thing(rng: Random) -> tuple[str, Mapping[str, str]]:
    one, other = rng.sample(THINGS, 2)
    return one, {"thing": one, "other": other, "count": rng.choice(("two", "three", "four", "five"))}


def _chat(rng: Random) -> tuple[str, Mapping[str, str]]:
    action, feeling = rng.choice(ACTIONS), rng.choice(FEELINGS)
    return action, {"action": action, "feeling": feeling}


def _feeling(rng: Random) -> tuple[str, Mapping[str, str]]:
    feeling = rng.choice(FEELINGS)
    return feeling, {"feeling": feeling}


def _writing(rng: Random) -> tuple[str, Mapping[str, str]]:
    hero, place = rng.choice(HEROES), rng.choice(PLACES)
    return hero, {"hero": hero, "place": place, "form": rng.choice(FORMS), "thing": rng.choice(THINGS)}


SPOKEN: tuple[Kind, ...] = (
    worded("question", _thing),
    worded("chat", _chat),
    worded("talk", _feeling),
    worded("writing", _writing),
)

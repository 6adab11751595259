"""Prompts that give work: arithmetic, code, JSON, editing. Subjects are this project's own, or packages' texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from random import Random

from .base import Kind
from .shipped import functions, passages, puzzle
from .texts import subjects, worded

NAMES, GOODS, CITIES, JOBS = subjects("names"), subjects("goods"), subjects("cities"), subjects("jobs")
TASKS, LANGUAGES = subjects("tasks"), subjects("languages")
SENTENCES, CHANGES = subjects("sentences"), subjects("changes")


def _sum(rng: Random) -> tuple[str, Mapping[str, str]]:
    a, b, c = rng.randint(2, 99), rng.randint(2, 99), rng.randint(2, 12)
    goods, (name, other) = rng.choice(GOODS), rng.sample(NAMES, 2)
    values = {"a": f"{a + b}", "b": f"{b}", "c": f"{c}", "goods": goods, "name": name, "other": other}
    return f"{goods} {a % 10}", {**values, "sign": rng.choice("+-*")}


def _puzzle(rng: Random) -> tuple[str, Mapping[str, str]]:
    subject, text = puzzle(rng)
    return subject, {"text": text}


def _task(rng: Random) -> tuple[str, Mapping[str, str]]:
    task = rng.choice(TASKS)
    return task, {"task": task, "language": rng.choice(LANGUAGES)}


@cache
def _functions() -> tuple[tuple[str, str, str], ...]:
    return tuple(functions())


def _function(rng: Random) -> tuple[str, Mapping[str, str]]:
    subject, code, says = rng.choice(_functions())
    return subject, {"code": code, "says": says}


def _record(rng: Random) -> tuple[str, Mapping[str, str]]:
    name, city, job = rng.choice(NAMES), rng.choice(CITIES), rng.choice(JOBS)
    age, goods, count = str(rng.randint(18, 80)), rng.choice(GOODS), str(rng.randint(2, 40))
    known = {"name": name, "city": city, "job": job, "age": age, "goods": goods, "count": count}
    record = {"name": name, "age": int(age), "city": city, "job": job}
    return f"{job} {goods}", {**known, "record": json.dumps(record), "line": f"{name},{age},{city},{job}"}


def _sentence(rng: Random) -> tuple[str, Mapping[str, str]]:
    sentence = rng.choice(SENTENCES)
    return sentence, {"sentence": sentence, "change": rng.choice(CHANGES)}


@cache
def _passages() -> tuple[tuple[str, str], ...]:
    return tuple(passages())


def _passage(rng: Random) -> tuple[str, Mapping[str, str]]:
    subject, text = rng.choice(_passages())
    return subject, {"text": text}


WORKED: tuple[Kind, ...] = (
    worded("arithmetic", _sum),
    worded("puzzle", _puzzle),
    worded("code", _task),
    worded("function", _function),
    worded("json", _record),
    worded("editing", _sentence),
    worded("passage", _passage),
)

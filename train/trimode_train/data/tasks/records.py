"""Tasks on structured data: JSON from a sentence and back, a value from a small table."""

from __future__ import annotations

import json
from random import Random

from .base import Example, Task
from .vocabulary import CITIES, FIRST_NAMES, ITEMS, JOBS, LAST_NAMES


def _person(rng: Random) -> dict[str, str | int]:
    return {
        "name": f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}",
        "age": rng.randint(18, 79),
        "city": rng.choice(CITIES),
        "job": rng.choice(JOBS),
    }


def _product(rng: Random) -> dict[str, str | int]:
    return {
        "item": rng.choice(ITEMS),
        "price": rng.randint(1, 99),
        "stock": rng.randint(0, 999),
        "city": rng.choice(CITIES),
    }


def _sentence(record: dict[str, str | int]) -> str:
    if "name" in record:
        return "{name} is {age} years old, lives in {city} and works as a {job}.".format(**record)
    return "The shop in {city} sells {item} for {price} dollars and has {stock} in stock.".format(**record)


def to_json(rng: Random) -> Example:
    """A sentence about a person or a product as an indented JSON object."""
    record = rng.choice((_person, _product))(rng)
    ask = rng.choice(("Turn this into JSON: {}", "Write as JSON: {}", "Extract the data as JSON. {}"))
    return Example("to_json", ask.format(_sentence(record)), json.dumps(record, indent=2))


def from_json(rng: Random) -> Example:
    """A JSON object as a sentence."""
    record = rng.choice((_person, _product))(rng)
    ask = rng.choice(("Write this as a sentence: {}", "Describe this record: {}", "Say this in words: {}"))
    return Example("from_json", ask.format(json.dumps(record)), _sentence(record))


def table(rng: Random) -> Example:
    """One value of a table of three to five rows."""
    items = rng.sample(ITEMS, rng.randint(3, 5))
    rows = {item: {"price": rng.randint(1, 99), "stock": rng.randint(0, 99)} for item in items}
    wanted, column = rng.choice(items), rng.choice(("price", "stock"))
    lines = ["| item | price | stock |", "| --- | --- | --- |"]
    lines += [f"| {item} | {row['price']} | {row['stock']} |" for item, row in rows.items()]
    ask = rng.choice(("What is the {c} of {i}?", "Find the {c} of {i}.", "Look up the {c} of {i}."))
    row = rows[wanted]
    steps = f"| {wanted} | {row['price']} | {row['stock']} |"  # a plain copy, which puts the value next to the answer
    prompt = "\n".join(lines) + "\n" + ask.format(c=column, i=wanted)
    return Example("table", prompt, f"Answer: the {column} of {wanted} is {row[column]}.", steps)


TASKS = (Task("to_json", to_json, 1.2), Task("from_json", from_json), Task("table", table))

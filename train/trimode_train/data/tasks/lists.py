"""Tasks on short lists: sort, reverse, count, repeat."""

from __future__ import annotations

from random import Random

from .base import Example, Task
from .vocabulary import CITIES, COLOURS, FIRST_NAMES, ITEMS, WORDS


def sort_numbers(rng: Random) -> Example:
    """Three to eight different numbers below a hundred, in rising order."""
    numbers = rng.sample(range(100), rng.randint(3, 8))
    ask = rng.choice(("Sort these numbers: {}.", "Put in rising order: {}.", "Order from smallest to largest: {}."))
    ordered = ", ".join(map(str, sorted(numbers)))
    return Example("sort_numbers", ask.format(", ".join(map(str, numbers))), f"Sorted: {ordered}")


def sort_words(rng: Random) -> Example:
    """Three to six words in alphabetical order."""
    words = rng.sample(WORDS, rng.randint(3, 6))
    ask = rng.choice(("Sort these words: {}.", "Put in alphabetical order: {}.", "Order these words from A to Z: {}."))
    return Example("sort_words", ask.format(", ".join(words)), f"Sorted: {', '.join(sorted(words))}")


def reverse_list(rng: Random) -> Example:
    """Four to ten words, last one first."""
    words = rng.sample(rng.choice((WORDS, ITEMS, CITIES, FIRST_NAMES)), rng.randint(4, 10))
    ask = rng.choice(
        ("Reverse this list: {}.", "Write this list backwards: {}.", "Give the list in reverse order: {}.")
    )
    return Example("reverse_list", ask.format(", ".join(words)), f"Reversed: {', '.join(reversed(words))}")


def count(rng: Random) -> Example:
    """How often one word occurs, with a running count."""
    words = rng.choices(rng.sample(COLOURS, 4), k=rng.randint(4, 10))
    wanted = rng.choice(words)
    ask = rng.choice(
        ("How many times does {w} occur in: {l}?", "Count {w} in this list: {l}.", "How often is {w} in: {l}?")
    )
    seen, lines = 0, []
    for word in words:
        seen += word == wanted
        lines.append(f"{word}: {'yes' if word == wanted else 'no'}, {seen}")
    return Example("count", ask.format(w=wanted, l=", ".join(words)), f"Answer: {seen}", "\n".join(lines))


def repeat(rng: Random) -> Example:
    """One short sentence on several numbered lines."""
    sentence = f"The {rng.choice(WORDS)} is {rng.choice(COLOURS)} and the {rng.choice(WORDS)} is {rng.choice(COLOURS)}."
    n = rng.randint(2, 6)
    ask = rng.choice(("Write this {n} times: {s}", "Repeat {n} times: {s}", "Copy this sentence {n} times: {s}"))
    lines = "\n".join(f"{i}. {sentence}" for i in range(1, n + 1))
    return Example("repeat", ask.format(n=n, s=sentence), lines)


TASKS = (
    Task("sort_numbers", sort_numbers, 1.2),
    Task("sort_words", sort_words, 1.2),
    Task("reverse_list", reverse_list),
    Task("count", count),
    Task("repeat", repeat, 0.8),
)

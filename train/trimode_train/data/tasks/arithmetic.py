"""Tasks with worked sums: columns for + - *, unit conversion, shopping totals, dates, sequences and tables."""

from __future__ import annotations

import calendar
from random import Random

from .base import Example, Task


def _number(rng: Random, digits: int) -> int:
    return rng.randint(10 ** (digits - 1) if digits > 1 else 0, 10**digits - 1)


def _ask(rng: Random, expression: str) -> str:
    return rng.choice(("What is {}?", "Compute {}.", "Work out {}.")).format(expression)


def _columns(width: int, *numbers: int) -> list[tuple[int, ...]]:
    """Digits by column, the last column first."""
    padded = [f"{n:0{width}d}" for n in numbers]
    return [tuple(int(digits[i]) for digits in padded) for i in range(width - 1, -1, -1)]


def addition(rng: Random) -> Example:
    """Two numbers of up to four digits, column by column."""
    a, b = _number(rng, rng.randint(1, 4)), _number(rng, rng.randint(1, 4))
    width, carry = max(len(str(a)), len(str(b))), 0
    lines = [f"{a:0{width}d} + {b:0{width}d}"]
    for x, y in _columns(width, a, b):
        total = x + y + carry
        lines.append(f"{x}+{y}+{carry}={total}, write {total % 10}, carry {total // 10}")
        carry = total // 10
    return Example("addition", _ask(rng, f"{a} + {b}"), f"Answer: {a + b}", "\n".join(lines))


def subtraction(rng: Random) -> Example:
    """A number of up to four digits minus a smaller one, column by column."""
    a, b = sorted((_number(rng, rng.randint(1, 4)), _number(rng, rng.randint(1, 4))), reverse=True)
    width, borrow = len(str(a)), 0
    lines = [f"{a:0{width}d} - {b:0{width}d}"]
    for x, y in _columns(width, a, b):
        short = x - y - borrow < 0
        top = x + 10 * short
        lines.append(f"{top}-{y}-{borrow}={top - y - borrow}, borrow {int(short)}")
        borrow = int(short)
    return Example("subtraction", _ask(rng, f"{a} - {b}"), f"Answer: {a - b}", "\n".join(lines))


def multiplication(rng: Random) -> Example:
    """A number of up to three digits times one digit, column by column."""
    a, b = _number(rng, rng.randint(2, 3)), rng.randint(2, 9)
    width, carry = len(str(a)), 0
    lines = [f"{a} * {b}"]
    for (x,) in _columns(width, a):
        total = x * b + carry
        lines.append(f"{x}*{b}+{carry}={total}, write {total % 10}, carry {total // 10}")
        carry = total // 10
    return Example("multiplication", _ask(rng, f"{a} * {b}"), f"Answer: {a * b}", "\n".join(lines))


_UNITS = (
    ("kilometre", "metre", 1000),
    ("metre", "centimetre", 100),
    ("centimetre", "millimetre", 10),
    ("kilogram", "gram", 1000),
    ("litre", "millilitre", 1000),
    ("hour", "minute", 60),
    ("minute", "second", 60),
    ("day", "hour", 24),
    ("week", "day", 7),
    ("year", "month", 12),
    ("foot", "inch", 12),
    ("pound", "ounce", 16),
)
_PLURAL = {"foot": "feet", "inch": "inches"}


def _plural(unit: str) -> str:
    return _PLURAL.get(unit, unit + "s")


def units(rng: Random) -> Example:
    """A whole number of a larger unit in a smaller one."""
    big, small, factor = rng.choice(_UNITS)
    n = rng.randint(2, 99)
    ask = rng.choice(("Convert {n} {b} to {s}.", "How many {s} are {n} {b}?", "Express {n} {b} in {s}."))
    lines = [f"1 {big} is {factor} {_plural(small)}.", f"{n} {_plural(big)} is {n}*{factor} {_plural(small)}."]
    tens, ones = n // 10 * 10, n % 10
    if tens and ones and factor not in (10, 100, 1000):
        lines.append(f"{tens}*{factor}={tens * factor}")
        lines.append(f"{ones}*{factor}={ones * factor}")
        lines.append(f"{tens * factor}+{ones * factor}={n * factor}")
    else:
        lines.append(f"{n}*{factor}={n * factor}")
    prompt = ask.format(n=n, b=_plural(big), s=_plural(small))
    return Example("units", prompt, f"Answer: {n * factor} {_plural(small)}", "\n".join(lines))


_GOODS = ("pens", "cups", "books", "apples", "lamps", "chairs", "plates", "maps", "hats", "coins", "bags", "keys")


def shopping(rng: Random) -> Example:
    """The price of two or three kinds of goods."""
    goods = rng.sample(_GOODS, rng.randint(2, 3))
    lines, parts, total = [], [], 0
    for thing in goods:
        n, price = rng.randint(2, 9), rng.randint(2, 9)
        parts.append(f"{n} {thing} at {price} dollars each")
        lines.append(f"{n} {thing}: {n}*{price}={n * price}, total {total}+{n * price}={total + n * price}")
        total += n * price
    listed = ", ".join(parts[:-1]) + " and " + parts[-1]
    ask = rng.choice(("What do {} cost?", "I buy {}. How much is it?", "{} bought {}. What was the price?"))
    prompt = ask.format(listed) if ask.count("{}") == 1 else ask.format(rng.choice(("Anna", "Omar", "Mei")), listed)
    return Example("shopping", prompt, f"Answer: {total} dollars", "\n".join(lines))


def dates(rng: Random) -> Example:
    """The date a few days later, with the length of the month written out."""
    year, month = rng.randint(2000, 2039), rng.randint(1, 12)
    length = calendar.monthrange(year, month)[1]
    day = rng.randint(1, length) if rng.random() < 0.5 else rng.randint(length - 6, length)
    n = rng.randint(1, 14)
    name = calendar.month_name
    lines = [f"{name[month]} {year} has {length} days.", f"{day}+{n}={day + n}"]
    if day + n > length:
        after = (day + n - length, month % 12 + 1, year + month // 12)
        lines.append(f"{day + n}-{length}={after[0]}, next month: {name[after[1]]} {after[2]}")
    else:
        after = (day + n, month, year)
        lines.append(f"{day + n} is within {name[month]}.")
    ask = rng.choice(
        ("Which date is {n} days after {d}?", "What is the date {n} days after {d}?", "{d} plus {n} days?")
    )
    prompt = ask.format(n=n, d=f"{day} {name[month]} {year}")
    return Example("dates", prompt, f"Answer: {after[0]} {name[after[1]]} {after[2]}", "\n".join(lines))


def sequence(rng: Random) -> Example:
    """Counting up in equal steps."""
    start, step, count = rng.randint(0, 60), rng.randint(1, 9), rng.randint(5, 16)
    stop = start + step * (count - 1)
    ask = rng.choice(
        (
            "Count from {a} to {b} in steps of {s}.",
            "List the numbers from {a} to {b}, step {s}.",
            "Go from {a} to {b} by {s}.",
        )
    )
    numbers = ", ".join(str(n) for n in range(start, stop + 1, step))
    return Example("sequence", ask.format(a=start, b=stop, s=step), numbers)


def times_table(rng: Random) -> Example:
    """The first lines of a multiplication table."""
    n, upto = rng.randint(2, 30), rng.randint(4, 10)
    ask = rng.choice(
        ("Write the {n} times table up to {m}.", "Show the table of {n} from 1 to {m}.", "Multiply {n} by 1 to {m}.")
    )
    lines = "\n".join(f"{i} x {n} = {i * n}" for i in range(1, upto + 1))
    return Example("times_table", ask.format(n=n, m=upto), lines)


TASKS = (
    Task("addition", addition, 1.5),
    Task("subtraction", subtraction, 1.5),
    Task("multiplication", multiplication, 1.2),
    Task("units", units),
    Task("shopping", shopping),
    Task("dates", dates),
    Task("sequence", sequence),
    Task("times_table", times_table, 0.8),
)

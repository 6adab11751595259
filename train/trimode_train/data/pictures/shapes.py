"""Coloured shapes: which one it is, how many there are, where they are."""

from __future__ import annotations

from functools import cache
from random import Random

import numpy as np
import numpy.typing as npt

from .base import Drawn, PictureTask, Variety, asked
from .canvas import CELL, COLOURS, Canvas, plain, shade

SHAPES = ("circle", "square", "triangle", "cross", "ring", "diamond")
PLACES = (
    "top left", "top middle", "top right",
    "middle left", "center", "middle right",
    "bottom left", "bottom middle", "bottom right",
)  # fmt: skip
"""The nine parts of a picture of 3 x 3 cells, in reading order."""
MOST = 6
"""Shapes of a picture in which they are counted."""
_FINE = 4  # an edge's pixel is a mean over so many squared


@cache
def stencil(shape: str, size: int) -> npt.NDArray[np.uint8]:
    """Return a shape as ink, (size, size), 255 inside."""
    fine = size * _FINE
    across = (np.arange(fine) + 0.5) / fine * 2 - 1  # -1 to 1
    x, y = across[None, :], across[:, None]
    inside = {
        "circle": x * x + y * y <= 1,
        "square": np.maximum(abs(x), abs(y)) <= 0.9,
        "triangle": abs(x) <= (y + 1) / 2,
        "cross": (np.minimum(abs(x), abs(y)) <= 0.3) & (np.maximum(abs(x), abs(y)) <= 1),
        "ring": (x * x + y * y <= 1) & (x * x + y * y >= 0.36),
        "diamond": abs(x) + abs(y) <= 1,
    }[shape]
    share = inside.reshape(size, _FINE, size, _FINE).mean(axis=(1, 3))
    ink: npt.NDArray[np.uint8] = np.rint(255 * share).astype(np.uint8)
    return ink


def _paper(rng: Random, variety: Variety) -> Canvas:
    return Canvas((3, 3), plain(rng, variety.noise)[1])


def _put(canvas: Canvas, rng: Random, place: int, shape: str, colour: str) -> str:
    """Draw a shape inside one of the nine parts; returns its size and shift, for the layout."""
    size = rng.randint(15, 25)
    x, y = rng.randint(1, CELL - 1 - size), rng.randint(1, CELL - 1 - size)
    canvas.paste(stencil(shape, size), place % 3 * CELL + x, place // 3 * CELL + y, shade(rng, colour))
    return f"{place} {size // 4}"


def _a(name: str) -> str:
    return f"{'an' if name.startswith('o') else 'a'} {name}"


def shape(rng: Random, variety: Variety) -> Drawn:
    """Draw one shape of any size anywhere, and ask for its colour, its shape, or both."""
    which, colour = rng.choice(SHAPES), rng.choice(list(COLOURS))
    while True:
        size = rng.randint(18, 60)
        x, y = rng.randint(1, 83 - size), rng.randint(1, 83 - size)
        layout = f"shape {size // 6} {x // 10} {y // 10}"
        if variety.keeps(layout):
            break
    canvas = _paper(rng, variety)
    canvas.paste(stencil(which, size), x, y, shade(rng, colour))
    question, answer = rng.choice(
        (
            (("What color is it?", "Which color is the shape?"), colour),
            (("Which shape is it?", "What shape is this?"), which),
            (("What do you see?", "What is in the picture?"), _a(f"{colour} {which}")),
        )
    )
    return Drawn("shape", canvas.finish(rng, variety.noise), asked(rng, question), answer, layout)


def _places(rng: Random, variety: Variety, least: int, most: int) -> tuple[list[int], str]:
    while True:
        places = rng.sample(range(9), rng.randint(least, most))
        layout = f"places {sorted(places)}"
        if variety.keeps(layout):
            return places, layout


def count(rng: Random, variety: Variety) -> Drawn:
    """Draw up to six shapes of two kinds or two colours, and ask how many there are of one, or of all."""
    places, layout = _places(rng, variety, 1, MOST)
    canvas, some = _paper(rng, variety), rng.randint(0, len(places))
    kinds, colours = rng.sample(SHAPES, 2), rng.sample(list(COLOURS), 2)
    by = rng.choice(("all", "shape", "color"))
    for number, place in enumerate(places):
        other = number >= some
        _put(
            canvas,
            rng,
            place,
            kinds[other] if by != "color" else rng.choice(kinds),
            colours[other] if by != "shape" else rng.choice(colours),
        )
    plural = "crosses" if kinds[0] == "cross" else f"{kinds[0]}s"
    question, answer = {
        "all": (("How many shapes are there?", "Count the shapes."), len(places)),
        "shape": ((f"How many {plural} are there?", f"Count the {plural}."), some),
        "color": ((f"How many shapes are {colours[0]}?", f"Count the {colours[0]} shapes."), some),
    }[by]
    return Drawn("count", canvas.finish(rng, variety.noise), asked(rng, question), str(answer), layout)


def place(rng: Random, variety: Variety) -> Drawn:
    """Draw two to four shapes that differ in shape and in colour, and ask where one is, or what is at a place."""
    places, layout = _places(rng, variety, 2, 4)
    canvas = _paper(rng, variety)
    kinds, colours = rng.sample(SHAPES, len(places)), rng.sample(list(COLOURS), len(places))
    for where, kind, colour in zip(places, kinds, colours, strict=True):
        _put(canvas, rng, where, kind, colour)
    name, there = f"{colours[0]} {kinds[0]}", PLACES[places[0]]
    question, answer = rng.choice(
        (
            ((f"Where is the {kinds[0]}?", f"Where is the {name}?"), there),
            ((f"What is in the {there}?", f"Which shape is in the {there}?"), _a(name)),
        )
    )
    return Drawn("place", canvas.finish(rng, variety.noise), asked(rng, question), answer, layout)


TASKS = (PictureTask("shape", shape, 0.7), PictureTask("count", count), PictureTask("place", place))

"""Bar charts of three or four bars with a grid: how tall a bar is, which is the tallest, which the shortest."""

from __future__ import annotations

from random import Random

from .base import Drawn, PictureTask, Variety, asked
from .canvas import COLOURS, Canvas, Colour, plain, shade

UNIT = 9
"""Pixels of one unit of height; the grid has a line a unit."""
HIGHEST = 8
FLOOR = 80
"""The row of the axis, of 84."""


def _between(a: Colour, b: Colour) -> Colour:
    red, green, blue = ((3 * x + y) // 4 for x, y in zip(a, b, strict=True))
    return red, green, blue


def chart(rng: Random, variety: Variety) -> Drawn:
    """Draw bars of different heights and colours, and ask about one of them."""
    while True:
        heights = rng.sample(range(1, HIGHEST + 1), rng.choice((3, 4)))
        layout = f"bars {heights}"
        if variety.keeps(layout):
            break
    ink, paper = plain(rng, variety.noise)
    canvas = Canvas((4, 3), paper)
    for unit in range(1, HIGHEST + 1):
        canvas.block((4, FLOOR - unit * UNIT, 110, FLOOR - unit * UNIT + 1), _between(paper, ink))
    canvas.block((4, FLOOR, 110, FLOOR + 2), ink)
    colours, step = rng.sample(list(COLOURS), len(heights)), 104 // len(heights)
    wide = rng.randint(12, step - 6)
    for number, (height, colour) in enumerate(zip(heights, colours, strict=True)):
        left = 6 + number * step + (step - wide) // 2
        canvas.block((left, FLOOR - height * UNIT, left + wide, FLOOR), shade(rng, colour))
    one = rng.randrange(len(heights))
    question, answer = rng.choice(
        (
            ((f"How tall is the {colours[one]} bar?", f"What value does the {colours[one]} bar have?"), heights[one]),
            (("Which bar is the tallest?", "What color is the tallest bar?"), colours[heights.index(max(heights))]),
            (("Which bar is the shortest?", "What color is the shortest bar?"), colours[heights.index(min(heights))]),
        )
    )
    return Drawn("chart", canvas.finish(rng, variety.noise), asked(rng, question), str(answer), layout)


TASKS = (PictureTask("chart", chart),)

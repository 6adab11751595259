"""One line of text somewhere on a picture, which numbers and words share. Knows no questions."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from .base import Pixels, Variety
from .canvas import CELL, Canvas, plain
from .fonts import write

SIZES = (16, 18, 20, 22, 24, 26, 28, 32)
"""Of the letters, in pixels."""
CANVASES = ((3, 1), (4, 1), (5, 1), (3, 2), (4, 2))
"""Cells across and down."""
COARSE = 7
"""Pixels of a step by which places differ in the description of a layout."""


class Line(NamedTuple):
    """A picture of one line, where its ink is, (left, top, right, bottom), and the description of its layout."""

    pixels: Pixels
    box: tuple[int, int, int, int]
    layout: str


def line_of(rng: Random, variety: Variety, text: str) -> Line:
    """Draw `text` in a font, size, colour and place at random; it always fits."""
    while True:
        size, cells = rng.choice(SIZES), rng.choice(CANVASES)
        ink = write(variety.face(rng), size, text)
        free_x, free_y = cells[0] * CELL - ink.shape[1] - 2, cells[1] * CELL - ink.shape[0] - 2
        if min(free_x, free_y) < 0:
            continue
        x, y = 1 + rng.randint(0, free_x), 1 + rng.randint(0, free_y)
        layout = f"line {cells} {size} {x // COARSE} {y // COARSE}"
        if variety.keeps(layout):
            break
    colour, paper = plain(rng, variety.noise)
    canvas = Canvas(cells, paper)
    canvas.paste(ink, x, y, colour)
    box = x, y, x + ink.shape[1], y + ink.shape[0]
    return Line(canvas.finish(rng, variety.noise), box, layout)

"""Receipts of two things with their prices and the total, which is asked for."""

from __future__ import annotations

from random import Random

from .base import Drawn, PictureTask, Variety, asked
from .canvas import CELL, Canvas, plain
from .fonts import Face, write

THINGS = ("tea", "bread", "milk", "rice", "soup", "cake", "eggs", "salt", "nuts", "jam")
TOTALS = ("Total", "TOTAL", "Sum")
SIZES = (15, 16, 17)
CANVASES = ((4, 3), (5, 3))
QUESTIONS = ("What is the total?", "How much is it in total?", "Read the total.")
_TOP = (2, 4, 6)  # rows above the first line


def _row(canvas: Canvas, y: int, texts: tuple[str, str], face: Face, look: tuple[int, tuple[int, int, int]]) -> None:
    """Write a name at the left and a price at the right, both standing on one line of 25 pixels."""
    size, colour = look
    for text, right in zip(texts, (False, True), strict=True):
        ink = write(face, size, text)
        x = canvas.size[0] - 4 - ink.shape[1] if right else 4
        canvas.paste(ink, x, y + max(0, 18 - ink.shape[0]), colour)


def receipt(rng: Random, variety: Variety) -> Drawn:
    """Draw a receipt; prices are 0.10 to 9.90 in tenths, and the total is their sum."""
    face = variety.face(rng)
    while True:
        cells, size, top, things = rng.choice(CANVASES), rng.choice(SIZES), rng.choice(_TOP), rng.sample(THINGS, 2)
        layout = f"receipt {cells} {size} {top} {things}"
        if variety.keeps(layout):
            break
    ink, paper = plain(rng, variety.noise)
    canvas = Canvas(cells, paper)
    prices = [rng.randint(1, 99) * 10 for _ in things]
    rows = [*zip(things, prices, strict=True), (rng.choice(TOTALS), sum(prices))]
    step = (cells[1] * CELL - top - 2) // len(rows)
    for number, (name, price) in enumerate(rows):
        _row(canvas, top + number * step, (name, f"{price / 100:.2f}"), face, (size, ink))
    total = f"{sum(prices) / 100:.2f}"
    return Drawn("receipt", canvas.finish(rng, variety.noise), asked(rng, QUESTIONS), total, layout)


TASKS = (PictureTask("receipt", receipt),)

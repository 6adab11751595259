"""A picture while it is drawn: a background, ink in colours, noise at the end. Knows no text and no shapes."""

from __future__ import annotations

from functools import cache
from random import Random

import numpy as np
import numpy.typing as npt

CELL = 28
"""Pixels of a side of a cell: sides are multiples of it, so that no picture is resized."""

Colour = tuple[int, int, int]

COLOURS: dict[str, Colour] = {
    "red": (214, 38, 40),
    "green": (34, 150, 48),
    "blue": (36, 84, 214),
    "yellow": (238, 214, 30),
    "orange": (250, 134, 20),
    "purple": (142, 52, 168),
}
SHADE = 14
"""How far a named colour's channels stray, at most: names stay certain."""

SIGMAS = (0, 3, 6, 10, 15)
"""Standard deviations of a picture's noise, of 255; one is drawn a picture."""
_POOL = 1 << 18  # values of noise that are drawn once and cut from: drawing afresh would take most of a picture's time


@cache
def _noise(sigma: int) -> npt.NDArray[np.int16]:
    drawn = np.random.default_rng(sigma).normal(0, sigma, _POOL)
    grain: npt.NDArray[np.int16] = np.rint(drawn).astype(np.int16)
    return grain


def shade(rng: Random, name: str) -> Colour:
    """Return a named colour, a little off."""
    red, green, blue = (min(255, max(0, c + rng.randint(-SHADE, SHADE))) for c in COLOURS[name])
    return red, green, blue


def plain(rng: Random, noise: bool) -> tuple[Colour, Colour]:
    """Return (ink, paper): dark on light, or, of noisy pictures, three in ten light on dark, both tinted."""
    if not noise:
        return (0, 0, 0), (255, 255, 255)
    dark = (rng.randint(0, 70), rng.randint(0, 70), rng.randint(0, 70))
    light = (rng.randint(195, 255), rng.randint(195, 255), rng.randint(195, 255))
    return (light, dark) if rng.random() < 0.3 else (dark, light)


class Canvas:
    """Pixels that are drawn on, (H, W, 3)."""

    def __init__(self, cells: tuple[int, int], paper: Colour) -> None:
        self.pixels = np.empty((cells[1] * CELL, cells[0] * CELL, 3), dtype=np.uint8)
        self.pixels[:] = paper

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def paste(self, ink: npt.NDArray[np.uint8], x: int, y: int, colour: Colour) -> None:
        """Put ink (height, width) with its upper left corner at (x, y). Raises ValueError where it does not fit."""
        part = self.pixels[y : y + ink.shape[0], x : x + ink.shape[1]]
        if min(x, y) < 0 or part.shape[:2] != ink.shape:
            raise ValueError(f"ink of {ink.shape[::-1]} at {(x, y)} lies outside of a picture of {self.size}")
        share = ink[:, :, None].astype(np.int32)
        part[:] = (part * (255 - share) + np.array(colour, dtype=np.int32) * share + 127) // 255

    def block(self, box: tuple[int, int, int, int], colour: Colour) -> None:
        """Fill the rectangle (left, top, right, bottom); right and bottom lie outside of it."""
        left, top, right, bottom = box
        self.pixels[top:bottom, left:right] = colour

    def finish(self, rng: Random, noise: bool) -> npt.NDArray[np.uint8]:
        """Return the pixels, with noise over them if asked for."""
        sigma = rng.choice(SIGMAS) if noise else 0
        if sigma:
            start = rng.randrange(_POOL - self.pixels.size)
            grain = _noise(sigma)[start : start + self.pixels.size].reshape(self.pixels.shape)
            self.pixels = np.clip(self.pixels + grain, 0, 255).astype(np.uint8)
        return self.pixels

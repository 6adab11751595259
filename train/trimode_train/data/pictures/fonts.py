"""Letters as arrays: the fonts that matplotlib and Pillow carry, each glyph rasterised once. Knows no pictures."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ImageFont

Ink = npt.NDArray[np.uint8]
"""(height, width), 255 where a picture takes the ink's colour wholly."""


@dataclass(frozen=True)
class Face:
    """A font by its name: a file of matplotlib's, or Pillow's own.

    `scale` evens out how large fonts look at one size: by it digits are about 0.72 of the size high.
    """

    name: str
    scale: float = 1.0


PILLOWS = "Aileron"
"""The font that Pillow has built in, of its `load_default`."""

TRAINING_FACES = (
    Face("DejaVuSans"),
    Face("DejaVuSerif"),
    Face("cmss10", 1.1),
    Face("DejaVuSansMono"),
    Face("DejaVuSans-Bold"),
    Face("STIXGeneral", 1.1),
    Face("cmr10", 1.1),
    Face("DejaVuSans-Oblique"),
    Face("STIXGeneralBol", 1.1),
    Face("cmtt10", 1.15),
    Face("DejaVuSerif-Bold"),
    Face("STIXGeneralItalic", 1.1),
)
HELD_OUT_FACES = (Face(PILLOWS, 1.05), Face("DejaVuSansMono-Bold"), Face("cmb10", 1.1))

SOURCES: tuple[dict[str, str], ...] = (
    *(
        {"name": name, "kind": "font", "licence": licence, "address": address}
        for name, licence, address in (
            ("DejaVu, in matplotlib", "Bitstream Vera", "https://dejavu-fonts.github.io"),
            ("STIX, in matplotlib", "STIX Font License", "https://www.stixfonts.org"),
            ("Computer Modern, in matplotlib", "BaKoMa Fonts Licence", "https://ctan.org/pkg/bakoma-fonts"),
            ("Aileron, in Pillow, for held-out pictures alone", "CC0-1.0", "https://dotcolon.net/fonts/aileron"),
        )
    ),
    {
        "name": "own generators of pictures",
        "kind": "pictures",
        "licence": "Apache-2.0",
        "address": "train/trimode_train/data/pictures",
    },
)
"""What pictures are made from, with licences."""


class Glyph(NamedTuple):
    """One letter: its ink, where that starts right of and above the pen, and how far the pen moves, in pixels."""

    ink: Ink
    left: int
    above: int
    advance: float


@cache
def _folder() -> Path:
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("pictures need the fonts of the package matplotlib, which is not installed")
    return Path(spec.submodule_search_locations[0]) / "mpl-data/fonts/ttf"


@cache
def _font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    pixels = round(size * face.scale)
    if face.name != PILLOWS:
        return ImageFont.truetype(str(_folder() / f"{face.name}.ttf"), pixels)
    font = ImageFont.load_default(pixels)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise ModuleNotFoundError("pictures need a Pillow with FreeType: its built-in font is a bitmap without it")
    return font


@cache
def glyph(face: Face, size: int, letter: str) -> Glyph:
    """Return a letter of a font at a size in pixels."""
    font = _font(face, size)
    mask, (left, top) = font.getmask2(letter, mode="L", anchor="ls")
    ink = np.array(mask, dtype=np.uint8).reshape(mask.size[1], mask.size[0])
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if rows.size:  # a space has no ink
        left, top = left + columns[0], top + rows[0]
        ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    ink.setflags(write=False)
    return Glyph(ink, int(left), -int(top), float(font.getlength(letter)))


def write(face: Face, size: int, text: str) -> Ink:
    """Return a line of text as ink, cut to where there is any; letters are put one after another without kerning."""
    placed, pen = [], 0.0
    for letter in text:
        one = glyph(face, size, letter)
        if one.ink.size:
            placed.append((one, round(pen) + one.left))
        pen += one.advance
    left = min(x for _, x in placed)
    above = max(one.above for one, _ in placed)
    below = max(one.ink.shape[0] - one.above for one, _ in placed)
    width = max(x + one.ink.shape[1] for one, x in placed) - left
    line = np.zeros((above + below, width), dtype=np.uint8)
    for one, x in placed:
        height, wide = one.ink.shape
        part = line[above - one.above : above - one.above + height, x - left : x - left + wide]
        np.maximum(part, one.ink, out=part)
    return line

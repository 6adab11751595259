"""VisionFacts: what a bundle's manifest says of the tower that encodes pictures. Knows nothing of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple


class PictureIds(NamedTuple):
    """The ids by which a picture stands in a prompt; see VisionFacts."""

    start: int
    pad: int
    row_break: int
    end: int


@dataclass(frozen=True)
class VisionFacts:
    """The tower's sizes, and the ids by which a picture stands in a prompt.

    Attributes:
        patch: pixels of a patch's side. merge: patches of a cell's side; a cell is one row for the language model.
        side: most patches along a picture's side.
        start, pad, row_break, end: the ids before a picture, of each cell, after each row of cells but the last, and
            after the picture.
    """

    patch: int
    merge: int
    side: int
    start: int
    pad: int
    row_break: int
    end: int

    @property
    def cell(self) -> int:
        """Pixels of a cell's side."""
        return self.patch * self.merge

    @property
    def patch_width(self) -> int:
        """Values of a patch, in three colours."""
        return 3 * self.patch**2

    @property
    def ids(self) -> PictureIds:
        """The ids of a picture's tokens, that of its start first."""
        return PictureIds(self.start, self.pad, self.row_break, self.end)

    @classmethod
    def parse(cls, raw: object) -> VisionFacts:
        """Read the object in manifest.json.

        Raises:
            ValueError: a key is missing, unknown or of another kind, or two ids are one; the text names it.
        """
        expected = [field.name for field in fields(cls)]
        if not isinstance(raw, Mapping) or sorted(raw) != sorted(expected):
            found: Any = sorted(raw) if isinstance(raw, Mapping) else raw
            raise ValueError(f"vision: expected an object with {sorted(expected)}, found {found!r}")
        for name, value in raw.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                raise ValueError(f"vision.{name}: expected a whole number from 0 on, found {value!r}")
        made = cls(**raw)
        if len(set(made.ids)) < len(made.ids):
            raise ValueError(f"vision: start, pad, row_break and end must be four different ids, got {list(made.ids)}")
        return made

"""Window: one pass of an engine over lanes that lie side by side. Knows no shapes of any engine's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

ShapeT = TypeVar("ShapeT")


@dataclass(frozen=True)
class Window(Generic[ShapeT]):
    """One pass.

    Attributes:
        shape: its sizes, as the engine has them.
        members: line of the batch -> index of the row that runs there.
        writes: for each line, the entry from which its lane is written.
    """

    shape: ShapeT
    members: dict[int, int]
    writes: list[int]

    @property
    def lines(self) -> dict[int, int]:
        """Index of a row -> its line in the batch."""
        return {index: line for line, index in self.members.items()}

"""Window: one pass of an engine over lanes that lie side by side. Knows no shapes of any engine's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from .base import Row

ShapeT = TypeVar("ShapeT")


class Lines(Protocol):
    """A call's inputs, into which rows are written by the lines of its batch."""

    def fill(self, line: int, row: Row, write: int) -> None:
        """Write a row into a line; its lane is written from entry `write` on."""
        ...

    def idle(self, line: int, write: int) -> None:
        """Make a line an idle row."""
        ...

    def fill_singles(self, lines: Sequence[int], rows: Sequence[Row], writes: Sequence[int]) -> None:
        """Write rows of a single token each into `lines`, all others idle; `writes` are of every line."""
        ...


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

    def write(self, rows: Sequence[Row], call: Lines, *, singles: bool) -> None:
        """Write `rows` into `call`; with `singles` each has one token, and all are written at once."""
        if singles:
            call.fill_singles([*self.members], [rows[index] for index in self.members.values()], self.writes)
            return
        for line, entry in enumerate(self.writes):
            index = self.members.get(line)
            if index is None:
                call.idle(line, entry)
            else:
                call.fill(line, rows[index], entry)

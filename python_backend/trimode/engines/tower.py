"""Tower: the part of a model that encodes pictures, as every engine offers it. Knows nothing of the language model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

from .base import Floats


class Tower(Protocol):
    """The part of a model that encodes pictures. Not thread-safe, and apart from the engine: another thread runs it."""

    @classmethod
    def open(cls, bundle: Path, *, threads: int, device: int = 0, on_gpu: bool = False) -> Self:
        """Load the tower of a bundle that has one; see Engine.open for the options.

        Raises:
            BundleError: the bundle is broken or has no tower, or there is no GPU that it needs.
        """
        ...

    def encode(self, pictures: Sequence[Floats]) -> list[Floats]:
        """Return the rows that stand for each picture, (cells, hidden) float32, cells row by row.

        Args:
            pictures: (3, H, W) float32 each, normalised, of sides that are whole cells; they may differ in size.

        Raises:
            EngineError: the pass failed.
        """
        ...

    def close(self) -> None:
        """Release what the tower holds. A second call does nothing."""
        ...

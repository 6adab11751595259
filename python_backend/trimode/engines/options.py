"""EngineOptions: the settings that an engine is opened with. Knows no engine."""

from __future__ import annotations

from typing import Literal, Protocol

MaxSlots = int | Literal["auto"]
"""A number of sequences, or as many as fit the memory."""


class EngineOptions(Protocol):
    """The settings that an engine is opened with; `config.ServerConfig` has them."""

    @property
    def threads(self) -> int:
        """Processor threads of an engine on the CPU; 0 takes every core."""
        ...

    @property
    def spin(self) -> bool:
        """Whether these threads spin while they wait for work."""
        ...

    @property
    def max_slots(self) -> MaxSlots:
        """Sequences that can hold keys and values at once."""
        ...

    @property
    def device(self) -> int:
        """The number of the GPU, for an engine on a GPU."""
        ...

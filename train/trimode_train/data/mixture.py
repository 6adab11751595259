"""What a corpus is asked for and what it gives: the shares of its mixture, and one document at a time."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol

from .packing import Document


@dataclass(frozen=True)
class Mixture:
    """Shares of what a corpus draws; the rest are single chats without thinking."""

    code_share: float = 0.05
    prose_share: float = 0.02
    thinking_share: float = 0.12  # of the chats whose task has worked steps
    turns_share: float = 0.1  # of the chats


class Documents(Protocol):
    """Where documents come from: made as they are asked for (`Corpus`), or drawn before (`ArchiveCorpus`)."""

    def document(self, rng: Random) -> Document:
        """The next document of a random state."""
        ...

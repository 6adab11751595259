"""A model's own answers, as a run's folder keeps them: lines of `answers.jsonl` and `heldout.jsonl`.

Knows the files. Knows neither who answers nor what learns from it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .packing import Document

TRAINING, HELD_OUT = "answers.jsonl", "heldout.jsonl"


@dataclass(frozen=True)
class Answered:
    """One answer: `ids` of the conversation. The reply begins at `start` and, if `closed`, ends with the end token."""

    kind: str
    text: str  # the prompt's, by which a run that goes on knows what is answered
    turn: int  # 0, or 1 for the reply to a follow-up
    temperature: float
    ids: list[int]
    start: int
    closed: bool

    @property
    def document(self) -> Document:
        """The conversation as training has it."""
        return Document(self.ids, self.start, self.closed)

    @property
    def reply(self) -> list[int]:
        """The ids of the reply, with its end token if it is closed."""
        return self.ids[self.start :]


def load(path: Path) -> list[Answered]:
    """Read what was answered; nothing where there is no file. A last line that was cut short is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [Answered(**json.loads(line)) for line in lines[:-1]]  # what follows the last line's end is no line

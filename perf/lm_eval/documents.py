"""What lm-eval asks, made from checkpoints/nano/heldout.jsonl: its questions, each with its answer."""

from __future__ import annotations

from typing import Any


def questions(rows: Any) -> Any:
    """Return those rows of a `datasets.Dataset` that are questions, each with `question` and `answer`."""
    asked = rows.filter(lambda row: row["messages"] is not None)
    return asked.map(lambda row: {"question": row["messages"][0]["content"]})


def choices(rows: Any) -> Any:
    """Return the questions, each with two `choices`: its answer first, then that of the question before it."""
    asked = questions(rows)
    answers = asked["answer"]
    return asked.map(lambda row, at: {"choices": [row["answer"], answers[at - 1]]}, with_indices=True)

"""Pictures with questions that have one right answer: a registry of seeded generators, drawn without any download."""

from __future__ import annotations

from . import charts, numbers, receipts, shapes, words
from .base import Drawn, PictureTask, Variety

PICTURES: dict[str, PictureTask] = {
    task.name: task for task in (*numbers.TASKS, *words.TASKS, *shapes.TASKS, *charts.TASKS, *receipts.TASKS)
}

__all__ = ["PICTURES", "Drawn", "PictureTask", "Variety"]

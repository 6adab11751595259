"""The tasks the chat data is made of: a registry of small seeded generators whose answers are exactly checkable."""

from __future__ import annotations

from trimode_train.tasks import arithmetic, lists, records, writing
from trimode_train.tasks.base import Example, Task

TASKS: dict[str, Task] = {task.name: task for task in (*arithmetic.TASKS, *lists.TASKS, *records.TASKS, *writing.TASKS)}

__all__ = ["TASKS", "Example", "Task"]

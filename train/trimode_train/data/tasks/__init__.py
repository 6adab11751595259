"""The tasks that chats are made of: a registry of small seeded generators, whose answers can be checked exactly."""

from __future__ import annotations

from . import arithmetic, lists, reasoning, records, writing
from .base import Example, Task

_ALL = (*arithmetic.TASKS, *lists.TASKS, *records.TASKS, *writing.TASKS, *reasoning.TASKS)
TASKS: dict[str, Task] = {task.name: task for task in _ALL}

__all__ = ["TASKS", "Example", "Task"]

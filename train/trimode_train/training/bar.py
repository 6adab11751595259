"""A progress bar with lines above it; only lines without a terminal or without rich. Knows nothing about training."""

from __future__ import annotations

from typing import Any


class Bar:
    """A bar from its construction until `stop`, which leaves the terminal as it was."""

    def __init__(self, name: str) -> None:
        self.progress: Any = None
        try:  # a machine that trains from an archive may not have it
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        except ModuleNotFoundError:
            return
        console = Console()
        if console.is_terminal:
            description, percentage = TextColumn("{task.description}"), TextColumn("{task.percentage:5.1f}%")
            columns = description, BarColumn(), percentage, TimeElapsedColumn(), TimeRemainingColumn()
            self.progress = Progress(*columns, console=console)
            self.task = self.progress.add_task(name, total=1.0)
            self.progress.start()

    @property
    def is_shown(self) -> bool:
        """Whether there is a bar, and not only lines."""
        return self.progress is not None

    def print(self, line: str) -> None:
        """Print a line."""
        if self.is_shown:
            self.progress.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            print(line, flush=True)

    def update(self, completed: float, description: str) -> None:
        """Move the bar, if there is one, to a share from 0 to 1."""
        if self.is_shown:
            self.progress.update(self.task, completed=completed, description=description)

    def stop(self) -> None:
        """Remove the bar."""
        if self.is_shown:
            self.progress.stop()

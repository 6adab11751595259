"""What a run says: a progress bar on a terminal, one line now and then in a log, and a JSON line for each."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trimode_train.evaluate import Score

_SMOOTH = 0.97


class Reporter:
    """Prints and records the progress of a run; use as a context manager."""

    def __init__(self, log: Path | None, every_seconds: float = 20.0) -> None:
        self.console = Console()
        self.every, self.last, self.log = every_seconds, 0.0, log
        self.speed = self.next_token = self.masked = 0.0
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:5.1f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.progress.add_task("training", total=1.0)

    def __enter__(self) -> Reporter:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def step(self, step: int, progress: float, next_token: float, masked: float, tokens: int, seconds: float) -> None:
        """Count one step; prints when it is time."""
        keep = _SMOOTH if self.speed else 0.0
        self.speed = keep * self.speed + (1 - keep) * tokens / max(seconds, 1e-9)
        self.next_token = keep * self.next_token + (1 - keep) * next_token
        self.masked = keep * self.masked + (1 - keep) * masked
        line = f"step {step}  next {self.next_token:.3f}  masked {self.masked:.3f}  {self.speed:,.0f} tokens/s"
        self.progress.update(self.task, completed=progress, description=line)
        if time.monotonic() - self.last >= self.every:
            self.last = time.monotonic()
            if not self.console.is_terminal:
                stamp = time.strftime("%H:%M:%S")
                self.console.print(f"{stamp} {progress:6.1%}  {line}", highlight=False, soft_wrap=True)
            self._record(step=step, progress=progress, next_token=self.next_token, masked=self.masked, speed=self.speed)

    def scores(self, step: int, ar: dict[str, Score], diffused: dict[str, Score]) -> None:
        """Print exact match by domain."""
        total, parallel = ar.pop("all"), diffused["all"]
        self.console.print(
            f"step {step}  exact match {total.exact:.0%} (ar)  {parallel.exact:.0%} (diffusion, "
            f"{parallel.per_forward:.1f} tokens a forward)  "
            + "  ".join(f"{name} {score.exact:.0%}" for name, score in ar.items()),
            highlight=False,
            soft_wrap=True,
        )
        self._record(
            step=step,
            exact=total.exact,
            diffusion_exact=parallel.exact,
            diffusion_tokens_per_forward=parallel.per_forward,
            domains={name: score.exact for name, score in ar.items()},
        )

    def _record(self, **values: Any) -> None:
        if self.log:
            with self.log.open("a") as file:
                file.write(json.dumps(values) + "\n")

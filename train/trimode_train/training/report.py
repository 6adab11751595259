"""Reports a run's progress: a bar on a terminal, a line now and then in a log, and each line as JSON in a file.

Knows what is worth reporting. Does not know how a step is made.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

from ..evaluation.scores import Score
from .bar import Bar

_SMOOTH = 0.97  # weight of the past in running means: about the last 30 steps count


class Reporter:
    """Prints and records a run's progress; use as a context manager."""

    def __init__(self, log: Path | None, every_seconds: float = 20.0) -> None:
        self.every, self.last, self.log = every_seconds, 0.0, log
        self.next_token: Tensor | float = (
            0.0  # running means; tensors are read only when shown, a GPU is not kept waiting
        )
        self.masked: Tensor | float = 0.0
        self.keep = 0.0
        self.tokens, self.seconds = 0, 0.0  # since the last line
        self.peak_speed: float | None = None  # tokens per second at the GPU's full rate
        self.bar = Bar("training")

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def step(
        self,
        step: int,
        progress: float,
        next_token: Tensor | float,
        masked: Tensor | float,
        tokens: int,
        seconds: float,
        epochs: float | None = None,
    ) -> None:
        """Count one step; print when it is time. `epochs` is how often each document of an archive was seen."""
        self.next_token = self.keep * self.next_token + (1 - self.keep) * next_token
        self.masked = self.keep * self.masked + (1 - self.keep) * masked
        self.keep = _SMOOTH
        self.tokens += tokens
        self.seconds += seconds
        due = time.monotonic() - self.last >= self.every
        if not due and not self.bar.is_shown:
            return
        values = {"next_token": float(self.next_token), "masked": float(self.masked)}
        values["speed"] = self.tokens / max(self.seconds, 1e-9)
        line = "step {}  next {next_token:.3f}  masked {masked:.3f}  {speed:,.0f} tokens/s".format(step, **values)
        if self.peak_speed:
            values["used"] = values["speed"] / self.peak_speed
            line += f"  {values['used']:.0%} of peak"
        if epochs is not None:
            values["epochs"] = epochs
            line += f"  epoch {epochs:.2f}"
        self.bar.update(progress, line)
        if due:
            self.last, self.tokens, self.seconds = time.monotonic(), 0, 0.0
            if not self.bar.is_shown:
                self.bar.print(f"{time.strftime('%H:%M:%S')} {progress:6.1%}  {line}")
            self._record(step=step, progress=progress, **values)

    def scores(self, step: int, ar: dict[str, Score], diffused: dict[str, Score]) -> None:
        """Print exact match by domain."""
        total, parallel = ar.pop("all"), diffused["all"]
        self.bar.print(
            f"step {step}  exact match {total.exact:.0%} (ar)  {parallel.exact:.0%} (diffusion, "
            f"{parallel.per_forward:.1f} tokens per forward)  "
            + "  ".join(f"{name} {score.exact:.0%}" for name, score in ar.items())
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

"""The results on disk: written whole after every row, taken up again where a run on the same device left off."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common import RESULTS, WORK
from ..common.progress import MeasureError
from ..common.results import read, save

FORMAT = 1
GPU_RESULTS = RESULTS / "gpu"
REHEARSAL = WORK / "gpu-check-rehearsal.json"
REHEARSED = "REHEARSAL ON A CPU, NOT A GPU RESULT"


class RecordError(MeasureError):
    """The results cannot be kept there, or go on; the text says why and what to do."""


@dataclass
class Record:
    """One file of results, and the same as a table beside it."""

    path: Path
    found: dict[str, Any]

    @classmethod
    def open(cls, path: Path | None, device: dict[str, Any], *, fresh: bool) -> Record:
        """Take up the file for this device, or begin one, and a `fresh` one in its place.

        By default a GPU's go to perf/results/gpu under its name, a rehearsal's to perf/out. Raises RecordError where a
        rehearsal would lie among the results of GPUs, or the file is of other conditions.
        """
        is_gpu = device["type"] == "cuda"
        if path is None:
            name = re.sub(r"[^a-z0-9]+", "-", device["name"].lower()).strip("-") or "unnamed"
            path = GPU_RESULTS / f"{name}.json" if is_gpu else REHEARSAL
        if not is_gpu and GPU_RESULTS in path.resolve().parents:
            raise RecordError(f"--out: a rehearsal on a CPU does not go to {GPU_RESULTS}, got {path}")
        begun: dict[str, Any] = {"format": FORMAT, "device": device, "command": "make gpu-check"}
        if not is_gpu:
            begun = {"warning": REHEARSED, **begun}
        if fresh or not path.is_file():
            return cls(path, begun)
        try:
            found = read(path)
        except ValueError as exc:
            raise RecordError(f"{path} is not JSON: {exc}; --fresh replaces it") from exc
        for key in ("format", "device"):
            if found.get(key) != begun[key]:
                raise RecordError(
                    f"{path}: {key}: this run has {begun[key]!r}, the file {found.get(key)!r}; "
                    "--fresh replaces it, --out FILE keeps both"
                )
        return cls(path, found)

    def done(self) -> set[tuple[Any, ...]]:
        """The shapes that have a time; what was skipped is tried again."""
        return {_place(row) for row in self.found.get("passes", []) if "milliseconds" in row}

    def attended(self) -> set[tuple[str, int, int, int]]:
        """The ways to attend and shapes that have a time; what was skipped or failed is tried again."""
        return {_attended(row) for row in self.found.get("attention", []) if "milliseconds" in row}

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row of passes, in place of the one of its shape."""
        rows = self.found.setdefault("passes", [])
        rows[:] = [other for other in rows if _place(other) != _place(row)] + [row]
        self.save()

    def add_attention(self, row: dict[str, Any]) -> None:
        """Keep a row of attention alone, in place of the one of its way and shape; a time in place of any excuse."""
        rows = self.found.setdefault("attention", [])
        kept = [other for other in rows if _attended(other) != _attended(row)]
        if "milliseconds" in row:  # so the whole way is not out any more
            kept = [other for other in kept if other["variant"] != row["variant"] or "length" in other]
        rows[:] = [*kept, row]
        self.save()

    def save(self) -> None:
        """Write the file, whole or not at all."""
        save(self.path, self.found)


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["size"], row["rows"], row["tokens"], row["context"]


def _attended(row: dict[str, Any]) -> tuple[str, int, int, int]:
    return row["variant"], row.get("rows", 0), row.get("tokens", 0), row.get("length", 0)
